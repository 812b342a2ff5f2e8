"""One submission as the graded items see it: functions that are called with arrays, and return arrays or fail."""

import functools
import secrets
import time
import zlib
from pathlib import Path

import numpy as np

from grading.grader.supervisor import Ended, Failure, Limits, Worker


class Submission:
    """A folder with an adapters.py, or, like this package, with one in tests/grading.

    One process serves all calls. When a call ends it, by whatever means, the next call starts another, and the
    function that did it is not called again: what it cost is lost once, and nothing else is.

    Attributes:
      seed: of all that is drawn to grade it; a fresh one where none is given.
      failed: {function: the title of the item that it was charged in}.
      charged: {(function, sentence): the title of the item} of the errors that were recognised.
      remarks: sentences about the present item that cost nothing.
      notes: sentences for the teacher.
    """

    def __init__(self, folder, limits=None, seed=None):
        self.folder = Path(folder).resolve()
        self.limits = limits or Limits()
        self.seed = secrets.randbelow(10**9) if seed is None else seed
        self.output = ""
        self.failed, self.charged, self.notes = {}, {}, []
        self.begin("")
        self._worker, self._spent = None, 0.0
        self._refused, self.kept = {}, {}

    def begin(self, title):
        """The item `title` is judged from now on."""
        self.title, self.remarks = title, []

    def remark(self, sentence):
        if sentence not in self.remarks:
            self.remarks.append(sentence)

    def random(self, name):
        """A generator for what is drawn under this name."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def call(self, name, **arguments):
        """What the submission's function `name` returns; `Failure` if it returns nothing that can be judged."""
        if name in self._refused:
            raise Failure(self._refused[name])
        seconds = self.limits.train_seconds if name == "train" else self.limits.call_seconds
        total, started = self.limits.total_seconds, time.monotonic()
        if name != "report":  # which is read however long the fits took
            seconds = min(seconds, total - self._spent)
            if total - self._spent < 1:
                raise Failure(f"was not called: earlier calls used up the submission's {total:.3g} s")
        try:
            return self._start().call(name, arguments, seconds)
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

    def _start(self):
        """The process, which is started where there is none; one that could not import adapters.py, once only."""
        if "adapters.py" not in self._refused and self._worker is None:
            try:
                self._worker = Worker(self.folder, self.limits)
            except Failure as error:
                self._refused["adapters.py"] = f"was not called, since adapters.py {error}"
        if self._worker is None:
            raise Failure(self._refused["adapters.py"])
        return self._worker

    def _forget(self):
        self.output += self._worker.output.text()
        self._worker = None


def once(function):
    """Makes a function of a submission one that is called once; what it raised is raised again."""

    @functools.wraps(function)
    def kept(submission, *arguments):
        key = function, *arguments
        if key not in submission.kept:
            try:
                submission.kept[key] = function(submission, *arguments), None
            except Exception as error:  # told to every item that asks
                submission.kept[key] = None, error
        value, error = submission.kept[key]
        if error is not None:
            raise error
        return value

    return kept
