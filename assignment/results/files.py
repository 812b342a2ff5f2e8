"""Files that are written whole or not at all, in folders that one run at a time writes to."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from assignment.errors import UserError

_SUFFIX = ".partial"
# A file takes well under a second to write: an older partial one was left by a run that was killed.
_STALE_SECONDS = 60.0


def write_whole(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file so that nobody ever sees part of it: beside its place, flushed to disk, then renamed.

    Args:
      path: where the file belongs; its folder is made if need be, and rid of what killed runs left there.
      write: called with the open binary file.

    Raises:
      UserError: the file cannot be written. Whatever `write` raises passes through; `path` is then as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    with _user_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".*{_SUFFIX}"):
            with suppress(FileNotFoundError):  # where another process was quicker
                if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                    leftover.unlink()
        try:
            with open(temporary, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text with `write_whole`."""
    write_whole(path, lambda file: file.write(text.encode()))


def remove(path: str | Path) -> None:
    """Removes a file, if it is there; UserError if it cannot be removed."""
    with _user_error(path):
        Path(path).unlink(missing_ok=True)


@contextmanager
def locked(folder: str | Path, words: str) -> Iterator[None]:
    """A context in which no other process is in the same one; `folder` is made if need be.

    The lock ends with the process, however it ends, and leaves no file.

    Args:
      words: what is being done, "part nce".

    Raises:
      UserError: another process holds it: "part nce is being run into … already".
    """
    folder = Path(folder)
    with _user_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = f"into {folder} already; wait for it, or choose another --output"
            raise UserError(f"{words} is being run {where}") from None
        yield
    finally:
        os.close(lock)


@contextmanager
def _user_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {path} ({reason}); make room, or name another folder") from error
