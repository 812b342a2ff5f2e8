"""Runs a submission in a process of its own, with limits on what it may use, and lives through whatever it does."""

import contextlib
import json
import os
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
_OF_EACH_PROCESS = {
    "RLIMIT_AS": 24 * 2**30,  # TensorFlow reserves far more address space than it uses
    "RLIMIT_CPU": 2400,
    "RLIMIT_FSIZE": sandbox.TMPFS,
    "RLIMIT_NOFILE": 256,
    "RLIMIT_NPROC": 4096,  # with their threads, of all processes of one user
    "RLIMIT_CORE": 0,
}
_POLL_SECONDS = 0.1
_KEEP, _CUT = 1500, "\n[…]\n"  # characters of its output, from the start and from the end


class Ended(Failure):
    """The process is gone, too."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Seconds are of wall time; `memory` is of its whole process tree, in bytes."""

    call_seconds: float = 12
    train_seconds: float = 45
    total_seconds: float = 600
    import_seconds: float = 45
    memory: int = 3 * 2**30


class Worker:
    """One process that has imported a submission; `Failure` from the constructor if it could not."""

    def __init__(self, folder, limits):
        self.limits = limits
        self.room = sandbox.Room(folder)
        self._deadline = self._watched = 0.0
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(_POLL_SECONDS)
        at = self.room.at
        settings = {
            "adapters": f"{at['submission']}/{self.room.adapters}",
            "root": at["submission"],
            "user": self.room.user,
            "channel": theirs.fileno(),
            "limits": _OF_EACH_PROCESS,
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
            greeting = self._exchange(None, limits.import_seconds)
        except Ended as error:
            printed = self.output.text().strip()[-200:]
            raise Ended(f"{error}, and printed: {printed}" if printed else str(error)) from error
        if "value" not in greeting:
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
        self.room.remove()

    def _exchange(self, request, seconds):
        """An answer; between exchanges nothing of the submission runs, and so nothing slows the grader down."""
        self.tree.signal(signal.SIGCONT)
        self._deadline = time.monotonic() + seconds
        try:
            if request is not None:
                self._send(wire.encode(request))
            answer = wire.decode(self._read)
            if not isinstance(answer, dict):
                raise wire.BadMessage("sent what is no answer")
            self.tree.signal(signal.SIGSTOP)
            return answer
        except TimeoutError:
            why = f"did not finish within {seconds:.3g} s"
        except OSError:
            why = "ended the process it ran in"
        except (wire.BadMessage, Ended) as error:
            why = str(error)
        self.end()
        raise Ended(why)

    def _send(self, data):
        view = memoryview(data)
        while view:
            self._watch()
            with contextlib.suppress(TimeoutError):
                view = view[self.channel.send(view) :]

    def _read(self, count):
        data = bytearray()
        while len(data) < count:
            with contextlib.suppress(TimeoutError):
                piece = self.channel.recv(min(count - len(data), 2**20))
                if not piece:
                    raise ConnectionError
                data += piece
            self._watch()
        return bytes(data)

    def _watch(self):
        """Called while a call runs: TimeoutError where it takes too long, `Ended` where it uses too much."""
        if time.monotonic() > self._deadline:
            raise TimeoutError
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
        self._kept, self._pipe = "", pipe
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self):
        with self._pipe:
            while piece := os.read(self._pipe.fileno(), 65536):
                text = self._kept + piece.decode(errors="replace")
                self._kept = text if len(text) <= 2 * _KEEP + len(_CUT) else text[:_KEEP] + _CUT + text[-_KEEP:]

    def text(self):
        """What there is of it; all, or nearly, once the process has ended."""
        self._thread.join(timeout=1)
        return wire.writable(self._kept)


def _environment(scratch):
    """Nothing of the grader's own environment but the search path and the language."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    # One BLAS thread: results do not depend on the machine, and none runs before the process has confined itself.
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    fixed = {"PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return kept | one | fixed | {"HOME": scratch, "TMPDIR": scratch, "PYTHONIOENCODING": "utf-8"}
