"""The process that runs a submission: confines itself, imports adapters.py, and answers calls until it is ended.

It knows no answers. Whatever it sends back is judged, and believed no further, by the process that started it.
"""

import importlib.util
import json
import os
import socket
import sys
import traceback

from grading.grader import sandbox, wire


def main():
    """Runs on the settings (JSON) that the supervisor wrote in the last argument."""
    settings = json.loads(sys.argv[-1])
    del sys.argv[1:]
    sandbox.limit(**settings["limits"])
    python = [p for p in (sys.prefix, sys.base_prefix, *sys.path) if not _holds(p, settings["hidden"])]
    held_by = sandbox.confine([*python, *settings["readable"]], settings["listable"], settings["scratch"])
    channel = socket.socket(fileno=settings["channel"])
    for name in [name for name in sys.modules if name.split(".")[0] == "grading"]:
        del sys.modules[name]  # a submission may have a module of that name
    root = settings["root"]
    adapters, error = _attempt(root, _load, settings["adapters"], root)
    _send(channel, {"ready": error is None, "error": error, "held_by": held_by})
    while adapters is not None:
        request = wire.decode(lambda count: _read(channel, count))
        _send(channel, _answer(adapters, root, request["name"], request["arguments"]))


def _holds(folder, path):
    """Whether `path` lies in `folder`: an editable installation of this package would put the tests in reach."""
    folder = os.path.realpath(folder)
    return os.path.commonpath([folder, path]) == folder


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
    except BaseException as error:  # noqa: BLE001 - a submission may raise anything, and must not end the others' calls
        return None, _describe(error, root)


def _describe(error, root):
    """One line, with the last place in the submission's own files."""
    try:
        text = " ".join(str(error).split())[:300]
    except BaseException:  # noqa: BLE001 - even this is the submission's code
        text = "(its text cannot be had)"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.startswith(root) and not f.filename.startswith(sys.prefix)]
    place = f" (line {own[-1].lineno} of {os.path.relpath(own[-1].filename, root)})" if own else ""
    return f"{type(error).__name__}: {text}{place}"


def _send(channel, message):
    try:
        message = wire.encode(message)
    except wire.BadMessage as error:
        message = wire.encode({"bad": str(error)})
    except Exception as error:  # noqa: BLE001 - converting a submission's object runs its code
        message = wire.encode({"bad": f"returned what is no array of numbers ({type(error).__name__})"})
    channel.sendall(message)


def _read(channel, count):
    data = bytearray()
    while len(data) < count:
        piece = channel.recv(min(count - len(data), 2**20))
        if not piece:
            os._exit(0)  # the grader has gone
        data += piece
    return bytes(data)
