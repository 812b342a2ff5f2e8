"""What a submission's process may touch: chosen by itself before it reads a line of the submission, and never undone.

Where the kernel has Landlock (Linux 5.13 and later, no privileges needed; docs.kernel.org/userspace-api/landlock.html)
the process sees Python, the system's libraries and the submission, writes to its scratch folder only, and can neither
trace nor, from ABI 6, signal processes outside, nor, from ABI 4, open TCP connections. Elsewhere a grader that is root
makes it an unprivileged user. Where there is neither, `confine` says so.
"""

import contextlib
import ctypes
import os
import resource
import struct

_NOBODY = 65534
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _CAPSET = 444, 445, 446, {"x86_64": 126, "aarch64": 91}
_NO_NEW_PRIVILEGES = 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15  # and truncate, ioctl on devices
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_ETC = ("ld.so.cache", "localtime", "passwd", "hosts", "nsswitch.conf", "mime.types", "ssl", "fonts", "matplotlibrc")
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/proc", "/sys", "/dev/urandom", *(f"/etc/{name}" for name in _ETC))


def limit(address_space, cpu_seconds, file_size):
    """Hard limits of this process and its children, in bytes and seconds; no core dumps."""
    for kind, most in (
        (resource.RLIMIT_AS, address_space),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # when the machine runs out of memory, not the grader


def confine(readable, listable, scratch):
    """Gives up every right but to read `readable`, to list the folders `listable`, and to write in `scratch`.

    Must run before the process starts a second thread.

    Returns:
      "landlock", "user" or "none", for what now holds the process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(_CREATE_RULESET, None, 0, 1) if os.uname().sysname == "Linux" else -1
    if abi > 0:
        _landlock(libc, abi, readable, listable, scratch)
        _drop_capabilities(libc)
        return "landlock"
    if os.geteuid() == 0:
        _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        os.chown(scratch, _NOBODY, _NOBODY)
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
        return "user"
    return "none"


def _landlock(libc, abi, readable, listable, scratch):
    rights = _RIGHTS_BY_ABI[min(abi, 5)]
    tcp, scopes = (3 if abi >= 4 else 0), (3 if abi >= 6 else 0)  # bind and connect; abstract sockets and signals
    attributes = struct.pack("QQQ", rights, tcp, scopes)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = _checked(libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    read = _EXECUTE | _READ_FILE | _READ_DIR
    rules = [(path, read) for path in (*_SYSTEM, *readable)]
    rules += [(path, _READ_DIR) for path in listable]
    rules += [(scratch, rights), ("/dev/null", _ON_FILES)]
    for path, allowed in rules:
        _allow(libc, ruleset, path, allowed & rights)
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _allow(libc, ruleset, path, rights):
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # nothing there to allow
    if not os.path.isdir(path):
        rights &= _ON_FILES
    _checked(libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, handle), 0))
    os.close(handle)


def _drop_capabilities(libc):
    """Root's special powers go; without them it is a user like any other, and files still open to it by name."""
    number = _CAPSET.get(os.uname().machine)
    if os.geteuid() == 0 and number:
        _checked(libc.syscall(number, struct.pack("Ii", 0x20080522, 0), bytes(24)))


def _checked(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"the submission could not be confined: {os.strerror(code)}")
    return result
