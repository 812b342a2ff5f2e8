"""Runs a submission in a process of its own, with limits on what it may use, and lives through whatever it does."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass

from grading.grader import processes, sandbox, wire
from grading.grader.sandbox import Failure

_START = "import sys; sys.path[0] = {!r}; import worker; del sys.path[0]; worker.main()"
PROCESSES = 64
_THREADS = 4096  # of all processes of one user
_POLL_SECONDS = 0.1
_KEEP = 1500  # characters of its output, from the start and from the end


class Ended(Failure):
    """The process is gone, too."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Seconds are of wall time; `memory` is of its whole process tree, in bytes.

    TensorFlow reserves far more address space than it uses, so `address_space` is wide, and `memory` what counts.
    """

    call_seconds: float = 12
    train_seconds: float = 45
    total_seconds: float = 600
    import_seconds: float = 45
    memory: int = 3 * 2**30
    address_space: int = 24 * 2**30

    def of_process(self):
        return {
            "RLIMIT_AS": self.address_space,
            "RLIMIT_CPU": int(4 * self.total_seconds),
            "RLIMIT_FSIZE": sandbox.TMPFS,
            "RLIMIT_NOFILE": 256,
            "RLIMIT_NPROC": _THREADS,
        }


class Worker:
    """One process that has imported a submission; `Failure` from the constructor if it could not.

    Args:
      folder: the submission's.
      seconds: for the import.
    """

    def __init__(self, folder, limits, seconds):
        self.limits = limits
        self.room = sandbox.Room(folder)
        self._watched = 0.0
        self.channel, theirs = socket.socketpair()
        at = self.room.at
        settings = {
            "adapters": f"{at['submission']}/{self.room.adapters}",
            "root": at["submission"],
            "user": self.room.user,
            "channel": theirs.fileno(),
            "limits": limits.of_process(),
            "filter": sandbox.system_calls(network=self.room.kind == "bwrap"),  # bwrap gives one that leads nowhere
        }
        python = [sandbox.PYTHON, "-s", "-c", _START.format(at["grader"]), json.dumps(settings)]
        with theirs:
            self.process = subprocess.Popen(
                self.room.command(python, folder),
                cwd=self.room.path / "scratch",
                env=_environment(at["scratch"]),
                stdin=subprocess.DEVNULL if self.room.kind == "bwrap" else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.tree = processes.Tree(self.process.pid)
        self.output = Output(self.process.stdout)
        try:
            greeting = self._exchange(None, seconds)
        except Ended as error:
            printed = self.output.text().strip()[-200:]
            raise Ended(f"{error}, and printed: {printed}" if printed else str(error)) from error
        if not greeting.get("ready"):
            self.end()
            raise Failure(f"could not be imported: {str(greeting.get('error'))[:400]}")

    def call(self, name, arguments, seconds):
        """The value of one adapter function; `Failure` if there is none, `Ended` if the process is gone with it."""
        answer = self._exchange({"name": name, "arguments": arguments}, seconds)
        if "value" in answer:
            return answer["value"]
        if "missing" in answer:
            raise Failure("is not there: adapters.py has no function of this name")
        if str(answer.get("error")).startswith("NotImplementedError"):
            raise Failure("is not written yet (it raised NotImplementedError)")
        raise Failure(f"raised {str(answer.get('error'))[:400]}")

    def end(self):
        """Kills the process with all that it started, and removes its files."""
        self.tree.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)  # bwrap, or `keep`, buries its dead
        self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self.channel.close()
        self.output.close()
        self.room.remove()

    def _exchange(self, request, seconds):
        """An answer; between exchanges nothing of the submission runs, and so nothing slows the grader down."""
        self.tree.signal(signal.SIGCONT)
        deadline = time.monotonic() + seconds, seconds
        try:
            if request is not None:
                self._send(wire.encode(request), deadline)
            answer = wire.decode(lambda count: self._read(count, deadline))
            if not isinstance(answer, dict):
                raise wire.BadMessage("sent what is no answer")
            self.tree.signal(signal.SIGSTOP)
            return answer
        except wire.BadMessage as error:
            self.end()
            raise Ended(str(error)) from error
        except OSError as error:
            self.end()
            raise Ended("ended the process it ran in") from error
        except Ended:
            self.end()
            raise

    def _send(self, data, deadline):
        view = memoryview(data)
        while view:
            self._watch(deadline)
            _, writable, _ = select.select([], [self.channel], [], _POLL_SECONDS)
            if writable:
                view = view[self.channel.send(view[:65536], socket.MSG_DONTWAIT) :]

    def _read(self, count, deadline):
        data = bytearray()
        while len(data) < count:
            readable, _, _ = select.select([self.channel], [], [], _POLL_SECONDS)
            self._watch(deadline)
            if readable:
                piece = self.channel.recv(min(count - len(data), 2**20))
                if not piece:
                    raise Ended("ended the process it ran in")
                data += piece
            elif self.process.poll() is not None:
                raise Ended("ended the process it ran in")
        return bytes(data)

    def _watch(self, deadline):
        end, seconds = deadline
        if time.monotonic() > end:
            raise Ended(f"did not finish within {seconds:.3g} s")
        if time.monotonic() < self._watched + _POLL_SECONDS:
            return
        self._watched = time.monotonic()
        processes, memory = self.tree.usage(self.limits.memory)
        if memory > self.limits.memory:
            raise Ended(f"used more than {self.limits.memory >> 20} MiB of memory")
        if processes > PROCESSES:
            raise Ended(f"started more than {PROCESSES} processes")


class Output:
    """What a process prints: read at once, so that it never waits, and kept only in part."""

    def __init__(self, pipe):
        self.start, self.rest = "", ""
        self._pipe = pipe
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self):
        for piece in iter(lambda: os.read(self._pipe.fileno(), 65536), b""):
            text = piece.decode(errors="replace")
            free = _KEEP - len(self.start)
            self.start += text[:free]
            self.rest = (self.rest + text[free:])[-_KEEP:]

    def text(self):
        return wire.writable(self.start + ("\n[…]\n" if len(self.rest) == _KEEP else "") + self.rest)

    def close(self):
        self._thread.join(timeout=1)
        if not self._thread.is_alive():
            self._pipe.close()


def _environment(scratch):
    """Nothing of the grader's own environment but the search path and the language."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    # One BLAS thread: results do not depend on the machine, and none runs before the process has confined itself.
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    fixed = {"PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return kept | one | fixed | {"HOME": scratch, "TMPDIR": scratch, "PYTHONIOENCODING": "utf-8"}
