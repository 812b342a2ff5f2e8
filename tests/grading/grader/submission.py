"""One submission as the graded items see it: functions that are called with arrays, and return arrays or fail."""

import time
from pathlib import Path

from grading.grader.supervisor import Ended, Failure, Limits, Worker

CALL_SECONDS = 12
_INHERITED = Path("tests", "grading", "adapters.py")


class Submission:
    """A folder with an adapters.py, or, like this package, with one in tests/grading.

    One process serves all calls. When a call ends it, by whatever means, the next call starts another, and the
    function that did it is not called again: what it cost is lost once, and nothing else is.

    Args:
      folder: of the submission.
      limits: what it may use.
    """

    def __init__(self, folder, limits=None):
        self.folder = Path(folder).resolve()
        self.limits = limits or Limits()
        self.held_by = None
        self.output = ""
        self._worker = None
        self._refused = {}
        self._spent = 0.0

    def call(self, name, seconds=CALL_SECONDS, **arguments):
        """What the submission's function `name` returns; `Failure` if it returns nothing that can be judged."""
        if name in self._refused:
            raise Failure(self._refused[name])
        started = time.monotonic()
        try:
            return self._start().call(name, arguments, min(seconds, self._left()))
        except Ended as error:
            self._refused[name] = f"{error} (when it was called first; it was not called again)"
            self._forget()
            raise
        finally:
            self._spent += time.monotonic() - started

    def close(self):
        """Ends the process; the submission can then be called no more in it, but in a new one."""
        if self._worker:
            self._worker.end()
            self._forget()

    def _left(self):
        left = self.limits.total_seconds - self._spent
        if left < 1:
            raise Failure(f"was not called: earlier calls used up the submission's {self.limits.total_seconds:.0f} s")
        return left

    def _start(self):
        if self._worker is None:
            if "adapters.py" in self._refused:
                raise Failure(self._refused["adapters.py"])
            seconds = min(self.limits.import_seconds, self._left())
            try:
                self._worker = Worker(*self._places(), self.limits, seconds)
            except Failure as error:
                self._refused["adapters.py"] = f"was not called, since adapters.py {error}"
                raise Failure(self._refused["adapters.py"]) from error
            self.held_by = self._worker.held_by
        return self._worker

    def _forget(self):
        self.output += self._worker.output.text() if self._worker else ""
        self._worker = None

    def _places(self):
        """(adapters.py, the folder it imports from, what may be read, what may be listed)."""
        adapters = self.folder / "adapters.py"
        if adapters.is_file():
            return adapters, self.folder, [self.folder], []
        adapters = self.folder / _INHERITED
        if adapters.is_file():
            # A copy of this package's layout holds the tests themselves: all may be read but them.
            beside = [path for path in self.folder.iterdir() if path.name != _INHERITED.parts[0]]
            return adapters, self.folder, [adapters, *beside], [self.folder]
        raise Failure("is not there: put it at the top of the submission's folder")
