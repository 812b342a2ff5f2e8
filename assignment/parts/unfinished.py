"""A run under way: which fits it has finished and where the present one stands, so that a killed run goes on."""

import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path

from assignment.checkpoint import Checkpoint
from assignment.errors import UserError

_PACKAGE = Path(__file__).parents[1]


class Unfinished:
    """The folder of one run, `.unfinished/<part>/<digest>` in `results`; it is gone when the run is done.

    The digest is of all that decides the results, the package's own source included: a run after any change begins
    anew. The folder belongs to one process at a time.

    Args:
      results: the folder results/<dataset>.
      part: the run's part; decisive: what else decides its results, as JSON knows it.
      fresh: whether to begin anew in any case.
    """

    def __init__(self, results, part, decisive, fresh=False):
        self.part = part
        self.results = Path(results)
        self.home = self.results / ".unfinished" / part
        self.folder = self.home / _digest(decisive)
        self.fresh = fresh

    def __enter__(self):
        self.home.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(self.home, os.O_RDONLY)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.lock)
            words = f"part {self.part} is being run into {self.results} already"
            raise UserError(f"{words}; wait for it, or choose another --output") from None
        for other in self.home.iterdir():
            if self.fresh or other != self.folder:
                shutil.rmtree(other)
        self.folder.mkdir(exist_ok=True)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            shutil.rmtree(self.folder)
        os.close(self.lock)

    def has(self, fit):
        """Whether this run has finished a fit, of that name, before it was killed."""
        return (self.folder / f"{fit}.done").exists()

    def checkpoint(self, fit):
        """Where a fit keeps its state meanwhile."""
        return Checkpoint(self.folder / fit)

    def finish(self, fit):
        (self.folder / f"{fit}.done").touch()
        shutil.rmtree(self.folder / fit, ignore_errors=True)


def _digest(decisive):
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
