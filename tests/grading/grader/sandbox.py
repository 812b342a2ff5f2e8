"""Where a submission runs: a private copy of it, and around that bubblewrap, which shows it nothing else.

bubblewrap (`bwrap`, 0.7 or later, github.com/containers/bubblewrap) gives a process mounts, processes, IPC and network
of its own, as root and as an ordinary user, and dies with the grader. Under root the process then becomes a user
without rights. Where bwrap cannot run, root still can do that; otherwise there is nothing to hold it.
"""

import contextlib
import functools
import os
import platform
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

GRADER = Path(__file__).resolve().parent
HIDDEN = GRADER.parents[2]  # the package with the tests
NOBODY = 65534
PYTHON = os.path.abspath(sys.executable)  # inside the sandbox no `..` leads out of a folder that is not there
NOTHING_HOLDS = (
    "nothing can hold a submission here: install bubblewrap (apt-get install bubblewrap), grade as root, "
    "or give --no-sandbox where you trust every submission"
)
TMPFS = 2**29  # bytes of /tmp, and of /dev/shm
MOST_BYTES, MOST_FILES, DEEPEST = 2**28, 10_000, 30  # of a submission
_INHERITED = Path("tests", "grading", "adapters.py")
_LEFT_OUT = ("__pycache__", "__MACOSX", "node_modules", "venv")
_SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"]
_SYSTEM += ["/etc/alternatives", "/etc/localtime", "/etc/fonts", "/etc/mime.types", "/etc/matplotlibrc"]
# System calls that hold memory outside a process, outlive it, make a sandbox within the sandbox, or take processors
# that were not given.
_CALLS = {  # (architecture, the refused ones, mmap, socket)
    "x86_64": (0xC000003E, (29, 64, 68, 240, 165, 203, 248, 249, 250, 272, 298, 308, 319, 321, 323), 9, 41),
    "aarch64": (0xC00000B7, (194, 190, 186, 180, 40, 122, 217, 218, 219, 97, 241, 268, 279, 280, 282), 222, 198),
}
_REFUSED_EVERYWHERE = (425, 428, 429, 430, 431, 432, 442, 447)  # io_uring, new mounts, secret memory
_ENOSYS = 38


class Failure(Exception):
    """Why a call brought no value: one sentence for the student, which starts after "<function> "."""


@functools.cache
def kind():
    """What can hold a submission here: "bwrap", "nobody" or "none"."""
    python = [PYTHON, "-c", "import numpy"]
    if _runs([*_bwrap([]), "--", *python]):
        return "bwrap"
    # Not where Python lies in root's home.
    if os.geteuid() == 0 and _runs(python, user=NOBODY, group=NOBODY, extra_groups=[]):
        return "nobody"
    return "none"


def _runs(command, **options):
    try:
        subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=True, **options)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def note(held_by):
    """What the rubric says of a sandbox that is not the best, or ""."""
    if held_by == "nobody":
        said = "NOTE: without bubblewrap the submission ran as `nobody`, who may read what all users may"
        if all(path.stat().st_mode & stat.S_IXOTH for path in (GRADER, *GRADER.parents)):
            said += ", this folder of tests too: close it (chmod -R go-rwx), or install bubblewrap"
        return f"{said}."
    if held_by == "none":
        return "NOTE: graded without a sandbox: the submission could read the tests and write your files."
    return ""


class Room:
    """A temporary folder with a copy of the submission and of what runs it; `remove()` when it is done with."""

    def __init__(self, folder):
        self.kind = kind()
        # Under root, a user of its own: what is graded beside it, by another grader, has another.
        self.user = NOBODY - 1 - os.getpid() % 4096 if os.geteuid() == 0 and self.kind != "none" else None
        self.path = Path(tempfile.mkdtemp(prefix="grading-"))
        inside = {"submission": "/submission", "grader": "/grader", "scratch": "/tmp"}
        self.at = inside if self.kind == "bwrap" else {name: str(self.path / name) for name in inside}
        try:
            for name in inside:
                (self.path / name).mkdir(mode=0o755)
            self.adapters = _copy(Path(folder), self.path / "submission")
            for name in ("worker.py", "wire.py"):
                shutil.copyfile(GRADER / name, self.path / "grader" / name)
            if self.kind == "nobody":  # who may read this room alone, and write in `scratch`
                os.chown(self.path, -1, self.user)
                self.path.chmod(0o750)
                os.chown(self.path / "scratch", self.user, self.user)
        except Failure:
            self.remove()
            raise
        except OSError as error:
            self.remove()
            raise Failure(f"could not be read: {error.strerror or error}") from error

    def command(self, python, folder):
        """The command line that runs `python` here."""
        if self.kind != "bwrap":
            return [PYTHON, str(GRADER / "processes.py"), *python]
        binds = []
        for name in ("submission", "grader"):
            binds += ["--ro-bind", str(self.path / name), self.at[name]]
        for hidden in (HIDDEN, Path(folder).resolve().parent):
            if any(Path(shown) in hidden.parents for shown in ("/usr", *_pythons())):
                binds = ["--tmpfs", str(hidden), *binds]
        return [*_bwrap(binds), "--chdir", "/tmp", "--", *python]

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
        if self.kind == "nobody":  # what it left where all users may write
            for folder in ("/tmp", "/var/tmp", "/dev/shm"):
                for path in Path(folder).iterdir():
                    with contextlib.suppress(OSError):  # another's, which has just gone
                        if path.lstat().st_uid == self.user:
                            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _copy(folder, target):
    """Copies a submission; returns where its adapters.py lies within."""
    budget = [MOST_BYTES, MOST_FILES]
    if (folder / "adapters.py").is_file():
        _copy_tree(folder, target, budget)
        return "adapters.py"
    if not (folder / _INHERITED).is_file() or (folder / _INHERITED).resolve() != folder.resolve() / _INHERITED:
        raise Failure("is not there: put it at the top of the submission's folder")
    # A copy of this package's layout holds the tests themselves: all is taken but them, and data sets.
    _copy_tree(folder, target, budget, left_out=("tests", "data"))
    (target / _INHERITED).parent.mkdir(parents=True)
    shutil.copyfile(folder / _INHERITED, target / _INHERITED)
    return str(_INHERITED)


def _copy_tree(source, target, budget, left_out=(), depth=DEEPEST):
    """Regular files and folders; links as they are, to lead nowhere; nothing else."""
    for entry in os.scandir(source):
        if entry.name in (*_LEFT_OUT, *left_out) or entry.name.startswith("."):
            continue
        copy, regular = os.path.join(target, entry.name), entry.is_file(follow_symlinks=False)
        budget[0] -= entry.stat(follow_symlinks=False).st_size if regular else 0
        budget[1] -= 1
        if min(budget) < 0 or not depth:
            limit = f"{MOST_BYTES >> 20} MiB, {MOST_FILES} files or {DEEPEST} levels"
            raise Failure(f"cannot be graded: the folder holds more than {limit}")
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), copy)
        elif entry.is_dir():
            os.mkdir(copy, 0o755)
            _copy_tree(entry.path, copy, budget, depth=depth - 1)
        elif regular:
            shutil.copyfile(entry.path, copy)
            os.chmod(copy, 0o644)


def _bwrap(binds):
    """bwrap with namespaces of its own, the system, /tmp and /dev/shm of bounded size, `binds`, and Python."""
    options = ["bwrap", "--die-with-parent", "--new-session"]
    options += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:
        options += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        options += ["--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    for path in _SYSTEM:
        options += ["--ro-bind-try", path, path]
    # Pages of a shared map of /dev/zero would be counted for no process.
    options += ["--proc", "/proc", "--dev", "/dev", "--dev-bind", "/dev/null", "/dev/zero"]
    for path in ("/dev/shm", "/tmp"):
        options += ["--perms", "1777", "--size", str(TMPFS), "--tmpfs", path]
    options += binds
    for path in map(Path, _pythons()):
        if not path.is_relative_to("/usr"):
            for parent in [*path.parents][-2::-1]:  # open to the user without rights, as /root is not outside
                options += [] if str(parent) == "/tmp" else ["--perms", "0755", "--dir", str(parent)]
            options += ["--ro-bind", str(path), str(path)]
    return options


def _pythons():
    return dict.fromkeys((sys.base_prefix, sys.prefix, os.path.realpath(sys.prefix)))


def system_calls(network):
    """A seccomp program (Linux's classic BPF), in hexadecimal, that answers the refused calls with "no such call"."""
    if platform.machine() not in _CALLS:
        return ""
    architecture, numbers, mmap, socket = _CALLS[platform.machine()]
    load, equal, at_least, mask, end = 0x20, 0x15, 0x35, 0x54, 0x06
    allow, refuse = (end, 0, 0, 0x7FFF0000), (end, 0, 0, 0x00050000 | _ENOSYS)
    lines = [(load, 0, 0, 4), (equal, 1, 0, architecture), refuse]
    lines += [(load, 0, 0, 0), (at_least, 0, 1, 0x40000000), refuse]  # the x32 numbers
    for number in (*numbers, *_REFUSED_EVERYWHERE):
        lines += [(equal, 0, 1, number), refuse]
    if not network:
        lines += [(equal, 0, 3, socket), (load, 0, 0, 16), (equal, 1, 0, 1), refuse]  # all but those of this machine
    # mmap for memory that is shared and of no file: its pages are counted for no process that has let go of them.
    lines += [(equal, 0, 4, mmap), (load, 0, 0, 40), (mask, 0, 0, 0x21), (equal, 0, 1, 0x21), refuse]
    return b"".join(struct.pack("=HBBI", *line) for line in (*lines, allow)).hex()
