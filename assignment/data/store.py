"""Folders of `.npy` files in the data folder, each there whole or not at all, and checked whenever it is opened.

Beside the arrays stand `facts.json`, what else their maker wants to keep, and `SHA256SUMS`, as `sha256sum` reads it.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from assignment.errors import UserError
from assignment.progress import say

_FACTS = "facts.json"
_SUMS = "SHA256SUMS"
_PREFIX = ".preparing-"

Kept = tuple[dict[str, np.ndarray], dict]


def data_folder(data_dir: str | os.PathLike | None = None) -> Path:
    """The folder for data: `data_dir`, else the environment variable ASSIGNMENT_DATA_DIR, else `data` right here."""
    return Path(data_dir or os.environ.get("ASSIGNMENT_DATA_DIR") or "data").expanduser()


def kept(data_dir: Path, key: str, make: Callable[[Path], dict]) -> Kept:
    """The arrays of the folder `key` in the data folder, made first unless they are there and whole.

    A second process that needs them waits, and says so. Where one may not write, they are made in a temporary place
    and vanish with the process.

    Args:
      make: function that writes `.npy` files to an empty folder, and returns further facts.

    Returns:
      ({name: read-only memory map}, the further facts).

    Raises:
      UserError: the data folder cannot be written to for another reason than its permissions.
    """
    try:
        return _open(data_dir / key) or _make(data_dir / key, make)
    except OSError as error:
        fault = (
            f"cannot write to the data folder {data_dir} ({error.strerror or error}); make it writable, with room in "
            "it, or name another with the environment variable ASSIGNMENT_DATA_DIR"
        )
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(fault) from error
    say(f"{fault}; until then the images go to {tempfile.gettempdir()}, and with this process")
    with tempfile.TemporaryDirectory() as elsewhere:
        return _make(Path(elsewhere) / key, make)


def arrays_in(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a folder of `.npy` files by name, as memory maps."""
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}


def write_npy(path: Path, shape: tuple[int, ...], dtype: type, chunks: Iterable[np.ndarray]) -> None:
    """Writes arrays, one after the other, as one array of a known shape; ValueError if it comes out another."""
    found = 0
    with open(path, "wb") as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": tuple(shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype))
            found += len(chunk)
    if found != shape[0]:
        raise ValueError(f"{found:,} of {shape[0]:,} images are there")


def _open(place: Path) -> Kept | None:
    """What is kept in a folder; None if it is not there, or not as it was written."""
    with suppress(OSError):
        if (place / _SUMS).read_bytes() == _sums(place):
            return arrays_in(place), json.loads((place / _FACTS).read_text(encoding="utf-8"))
    return None


def _make(place: Path, make: Callable[[Path], dict]) -> Kept:
    """Makes a folder in a fresh one beside it, one process at a time, and renames that."""
    parent = place.parent
    parent.mkdir(parents=True, exist_ok=True)
    with open(parent / ".lock", "w") as lock:  # The lock ends with its process, however that ends.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is preparing data in {parent}; waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        made_meanwhile = _open(place)
        if made_meanwhile:
            return made_meanwhile
        for left_by_a_killed_process in parent.glob(f"{_PREFIX}*"):
            shutil.rmtree(left_by_a_killed_process, ignore_errors=True)
        if place.exists():
            say(f"making {place} again: it is damaged")
        # Threads of a download that failed may still write here; then the next process clears it away.
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent, ignore_cleanup_errors=True) as scratch:
            folder = Path(scratch, "new")
            folder.mkdir()
            facts = make(folder)
            (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
            (folder / _SUMS).write_bytes(_sums(folder))
            if place.exists():
                place.rename(Path(scratch, "replaced"))
            folder.rename(place)
    return arrays_in(place), facts


def _sums(place: Path) -> bytes:
    """The SHA-256 of the arrays and the facts in a folder."""
    lines = []
    for path in [*sorted(place.glob("*.npy")), place / _FACTS]:
        with open(path, "rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines).encode()
