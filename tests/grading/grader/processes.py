"""The processes that a submission started, wherever they hide: counted, weighed and killed."""

import contextlib
import ctypes
import select
import signal
import subprocess
import sys
import time

import psutil

_PR_SET_CHILD_SUBREAPER = 36


class Tree:
    """All processes below the one with this id, which is bwrap's or that of `keep`: a double fork escapes neither."""

    def __init__(self, pid):
        self._pid = pid

    def usage(self, enough):
        """(number of processes, memory of all in bytes: more than `enough` only if shared pages count once)."""
        members = self._members()
        memory = [_of(p, lambda p: p.memory_info().rss, 0) for p in members]
        if sum(memory) > enough:
            each = zip(members, memory, strict=True)
            memory = [_of(p, lambda p: p.memory_full_info().pss, rss) for p, rss in each]
        return len(members), sum(memory)

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
            _of(member, lambda p: p.send_signal(number))

    def _members(self):
        below = _of(self._pid, lambda pid: psutil.Process(pid).children(recursive=True), [])
        return [p for p in below if _of(p, lambda p: p.status() != psutil.STATUS_ZOMBIE)]


def keep(command):
    """Runs a command until it ends, or the grader has gone and with it our standard input; leaves none of its children.

    A process whose parent has died becomes our child, not init's.
    """
    with contextlib.suppress(AttributeError):  # not on Linux
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)
    while process.poll() is None and not select.select([sys.stdin], [], [], 0.05)[0]:
        pass
    Tree(psutil.Process().pid).kill()


def _of(process, ask, otherwise=None):
    """What the process says of itself; it may be gone."""
    with contextlib.suppress(psutil.Error, OSError):
        return ask(process)
    return otherwise


if __name__ == "__main__":
    keep(sys.argv[1:])
