"""A data folder that stays whole: what is prepared appears there all at once or not at all."""

import errno
import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from assignment.data.network import say
from assignment.errors import UserError

_PREFIX = ".preparing-"


class ReadOnly(UserError):
    """A data folder in which one may not write."""


def data_folder(data_dir=None):
    """The folder for data: `data_dir`, else the environment variable ASSIGNMENT_DATA_DIR, else `data` right here."""
    return Path(data_dir or os.environ.get("ASSIGNMENT_DATA_DIR") or "data").expanduser()


@contextmanager
def workshop(data_dir):
    """A fresh folder within `data_dir` to prepare in, for one process at a time; gone on leaving.

    A second process waits, and says so. The lock ends with its process, however that ends, so that whatever
    folder is found under the lock was left by one that was killed.

    Raises:
      UserError: `data_dir` cannot be written to (ReadOnly if it is not allowed), or the disk is full.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with open(data_dir / ".lock", "w") as lock:
            _acquire(lock, data_dir)
            for left_over in data_dir.glob(f"{_PREFIX}*"):
                shutil.rmtree(left_over, ignore_errors=True)
            # Threads of a download that failed may still write here; then the next process clears it away.
            with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=data_dir, ignore_cleanup_errors=True) as folder:
                yield Path(folder)
    except OSError as error:
        raise unwritable(data_dir, error) from error


def publish(folder, workshop_dir, data_dir):
    """Moves `folder` from the workshop to the same place in the data folder, in the place of what may be there."""
    place = data_dir / folder.relative_to(workshop_dir)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.rename(Path(workshop_dir, "replaced"))
    folder.rename(place)


def unwritable(data_dir, error):
    """The UserError for a data folder in which nothing can be prepared, because of `error`."""
    forbidden = getattr(error, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS)
    return (ReadOnly if forbidden else UserError)(
        f"cannot write to the data folder {data_dir} ({getattr(error, 'strerror', None) or error}); "
        "make it writable, with room in it, or name another with the environment variable ASSIGNMENT_DATA_DIR"
    )


def _acquire(lock, data_dir):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another process is preparing data in {data_dir}; waiting for it …")
        fcntl.flock(lock, fcntl.LOCK_EX)
