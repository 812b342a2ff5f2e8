"""Folders of `.npy` files in the data folder, each there whole or not at all, and checked whenever it is opened.

Beside the arrays stands `facts.json`: how they were made, their SHA-256, and what else their maker wants to keep.
"""

import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from assignment.errors import UserError
from assignment.progress import say

_FACTS = "facts.json"
_PREFIX = ".preparing-"


class _Damaged(Exception):
    """A folder that is not there or not as it should be; the message says why."""


def data_folder(data_dir: str | os.PathLike | None = None) -> Path:
    """The folder for data: `data_dir`, else the environment variable ASSIGNMENT_DATA_DIR, else `data` right here."""
    return Path(data_dir or os.environ.get("ASSIGNMENT_DATA_DIR") or "data").expanduser()


def kept(data_dir: Path, key: str, made: dict, make: Callable[[Path], dict]) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays of the folder `key` in the data folder, made first unless they are there, whole, and made so.

    A second process that needs them waits, and says so. Where one may not write, they are made in a temporary place
    and vanish with the process.

    Args:
      made: all that decides the arrays; what was made in another way is made again.
      make: function that writes `.npy` files to an empty folder, and returns further facts.

    Returns:
      ({name: read-only memory map}, the further facts).

    Raises:
      UserError: the data folder cannot be written to for another reason than its permissions.
    """
    with suppress(_Damaged):
        return _open(data_dir / key, made)
    try:
        return _make(data_dir / key, made, make)
    except OSError as error:
        fault = f"cannot write to the data folder {data_dir} ({error.strerror or error})"
        fault += (
            "; make it writable, with room in it, or name another with the environment variable ASSIGNMENT_DATA_DIR"
        )
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(fault) from error
    say(f"{fault}; until then the images go to {tempfile.gettempdir()}, and with this process")
    with tempfile.TemporaryDirectory() as elsewhere:
        return kept(Path(elsewhere), key, made, make)


def kept_facts(place: Path, made: dict) -> dict | None:
    """The further facts of a folder that was made so, without a look at its arrays; None where there is none."""
    with suppress(_Damaged):
        return _read_facts(place, made)["facts"]


def arrays_in(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a folder of `.npy` files by name, as memory maps."""
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}


def write_npy(path: Path, shape: tuple[int, ...], dtype: type, chunks: Iterable[np.ndarray]) -> None:
    """Writes arrays, one after the other, as one array of a known shape; ValueError if it comes out another."""
    with open(path, "wb") as file:
        write_npy_header(file, shape, dtype)
        start = file.tell()
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype))
        found = (file.tell() - start) // (math.prod(shape[1:]) * np.dtype(dtype).itemsize)
    if found != shape[0]:
        raise ValueError(f"{found:,} of {shape[0]:,} images are there")


def write_npy_header(file: BinaryIO, shape: tuple[int, ...], dtype: type) -> None:
    """Writes what stands before the values in a `.npy` file."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _make(place: Path, made: dict, make: Callable[[Path], dict]) -> tuple[dict[str, np.ndarray], dict]:
    with _alone(place.parent) as scratch:
        try:
            return _open(place, made)
        except _Damaged as fault:
            if place.exists():
                say(f"making {place} again: {fault}")
        folder = scratch / "new"
        folder.mkdir()
        content = {"made": made, "facts": make(folder)}
        content["files"] = {file.name: _digest(file) for file in sorted(folder.iterdir())}
        text = json.dumps(content, indent=1)
        (folder / _FACTS).write_text(f"{text}\n{hashlib.sha256(text.encode()).hexdigest()}\n", encoding="utf-8")
        if place.exists():
            place.rename(scratch / "replaced")
        folder.rename(place)
        return arrays_in(place), content["facts"]


@contextmanager
def _alone(parent: Path) -> Iterator[Path]:
    """A fresh folder in `parent`, for one process at a time; gone on leaving.

    The lock ends with its process, however that ends: what is found under it was left by one that was killed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with open(parent / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is preparing data in {parent}; waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left_over in parent.glob(f"{_PREFIX}*"):
            shutil.rmtree(left_over, ignore_errors=True)
        # Threads of a download that failed may still write here; then the next process clears it away.
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)


def _open(place: Path, made: dict) -> tuple[dict[str, np.ndarray], dict]:
    content = _read_facts(place, made)
    for name, digest in content["files"].items():
        try:
            good = _digest(place / name) == digest
        except OSError as error:
            raise _Damaged(f"{name}: {error.strerror}") from error
        if not good:
            raise _Damaged(f"{name} is damaged")
    return arrays_in(place), content["facts"]


def _read_facts(place: Path, made: dict) -> dict:
    try:
        text, _, digest = (place / _FACTS).read_text(encoding="utf-8").rstrip("\n").rpartition("\n")
    except (OSError, ValueError) as error:
        raise _Damaged(f"{_FACTS}: {error}") from error
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise _Damaged(f"{_FACTS} is damaged")
    content = json.loads(text)
    if content["made"] != made:
        raise _Damaged("it was made in another way")
    return content


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
