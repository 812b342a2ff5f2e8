"""The process that runs a submission: takes its limits upon itself, imports adapters.py, and answers calls.

It knows no answers. Whatever it sends back is judged, and believed no further, by the process that started it. Only
this file and wire.py are in its sandbox.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import resource
import socket
import struct
import sys
import traceback

import wire

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38


def main():
    """Runs on the settings (JSON) that the supervisor wrote in the last argument."""
    settings = json.loads(sys.argv[-1])
    del sys.argv[1:]
    limit(settings["limits"])
    if settings["user"] is not None:
        become(settings["user"])
    confine(bytes.fromhex(settings["filter"]))
    channel = socket.socket(fileno=settings["channel"])
    for name in ("wire", "worker"):
        del sys.modules[name]  # a submission may have modules of these names
    root = settings["root"]
    adapters, error = _attempt(root, _load, settings["adapters"], root)
    _send(channel, {"value": None} if error is None else {"error": error})
    requests = channel.makefile("rb")
    while error is None:
        request = wire.decode(requests.read)
        _send(channel, _answer(adapters, root, request["name"], request["arguments"]))


def limit(limits):
    """Hard limits of this process and its children."""
    for kind, most in limits.items():
        _, hard = resource.getrlimit(getattr(resource, kind))
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(getattr(resource, kind), (most, most))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # when the machine runs out of memory, not the grader


def become(user):
    """From root to an unprivileged user, for good."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def confine(program):
    """No process from here on gets other rights, or makes the calls that the seccomp program refuses."""
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(program, len(program))
    filters = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or program and prctl(_PR_SET_SECCOMP, 2, filters, 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp")


def _load(path, root):
    """The submission's adapters.py as a module; its folder comes first on the path."""
    sys.path.insert(0, root)
    spec = importlib.util.spec_from_file_location("adapters", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["adapters"] = module
    spec.loader.exec_module(module)
    return module


def _answer(adapters, root, name, arguments):
    function = getattr(adapters, name, None)
    if not callable(function):
        return {"missing": True}
    value, error = _attempt(root, function, **arguments)
    return {"value": value} if error is None else {"error": error}


def _attempt(root, function, *arguments, **named):
    """(value, None), or (None, what went wrong) whatever was raised, SystemExit included."""
    try:
        return function(*arguments, **named), None
    except BaseException as error:  # a submission may raise anything, and must not end the others' calls
        return None, _describe(error, root)


def _describe(error, root):
    """One line, with the last place in the submission's own files."""
    try:
        text = " ".join(str(error).split())[:300]
    except BaseException:  # even this is the submission's code
        text = "(its text cannot be had)"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.startswith(root)]
    place = f" (line {own[-1].lineno} of {os.path.relpath(own[-1].filename, root)})" if own else ""
    return f"{type(error).__name__}: {text}{place}"


def _send(channel, message):
    try:
        message = wire.encode(message)
    except wire.BadMessage as error:
        message = wire.encode({"value": wire.Bad(error)})
    except BaseException as error:  # converting a submission's object runs its code
        message = wire.encode({"value": wire.Bad(f"returned what is no array of numbers ({type(error).__name__})")})
    channel.sendall(message)
