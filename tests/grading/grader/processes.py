"""The processes that a submission started, wherever they hide: counted, weighed and killed by way of /proc."""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Tree:
    """All descendants of this process that are not there yet: made before a submission's process is started.

    A process whose parent has died becomes our child, not init's, so that none escapes by a double fork.
    """

    def __init__(self):
        with contextlib.suppress(AttributeError):  # not on Linux
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._ours = _descendants()

    def usage(self, enough):
        """(number of processes, memory of all in bytes: more than `enough` only if shared pages count once)."""
        members = self._members()
        memory = sum(map(_resident, members))
        return len(members), memory if memory <= enough else sum(map(_proportional, members))

    def kill(self):
        """Kills all, again and again until none is left to start another."""
        for _ in range(200):
            members = self._members()
            if not members:
                return
            for stop in (signal.SIGSTOP, signal.SIGKILL):
                for pid in members:
                    with contextlib.suppress(OSError):
                        os.kill(pid, stop)
            time.sleep(0.01)

    def _members(self):
        return _descendants() - self._ours


def _descendants():
    children = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit():
            with contextlib.suppress(OSError):
                state, parent = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    children.setdefault(int(parent), []).append(int(entry))
    found, todo = set(), [os.getpid()]
    while todo:
        new = children.get(todo.pop(), [])
        found.update(new)
        todo += new
    return found


def _resident(pid):
    try:
        return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _proportional(pid):
    try:
        lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, ValueError, StopIteration):
        return _resident(pid)
