"""The processes that a submission started, wherever they hide: counted, weighed and killed."""

import contextlib
import ctypes
import signal
import time

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_GONE = psutil.Error, OSError


class Tree:
    """All descendants of this process that are not there yet: made before a submission's process is started.

    A process whose parent has died becomes our child, not init's, so that none escapes by a double fork.
    """

    def __init__(self):
        with contextlib.suppress(AttributeError):  # not on Linux
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._ours = set(psutil.Process().children(recursive=True))

    def usage(self, enough):
        """(number of processes, memory of all in bytes: more than `enough` only if shared pages count once)."""
        members = self._members()
        memory = sum(map(_resident, members))
        return len(members), memory if memory <= enough else sum(map(_proportional, members))

    def kill(self):
        """Kills all, again and again until none is left to start another."""
        for _ in range(200):
            if not self._members():
                return
            self.signal(signal.SIGSTOP)
            self.signal(signal.SIGKILL)
            time.sleep(0.01)

    def signal(self, number):
        for member in self._members():
            with contextlib.suppress(*_GONE):
                member.send_signal(number)

    def _members(self):
        return [p for p in psutil.Process().children(recursive=True) if p not in self._ours and _is_alive(p)]


def _is_alive(process):
    with contextlib.suppress(*_GONE):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _resident(process):
    with contextlib.suppress(*_GONE):
        return process.memory_info().rss
    return 0


def _proportional(process):
    with contextlib.suppress(*_GONE):
        return process.memory_full_info().pss
    return _resident(process)
