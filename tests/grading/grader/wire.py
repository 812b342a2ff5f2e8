"""Messages between the grader and the process that runs a submission: JSON and plain bytes, nothing executable.

A message is a line of JSON, preceded by its length, and then the bytes of the arrays and texts that it names. Either
side may be hostile: lengths, types and shapes are checked before anything is read or made of them, and every text is
made writable, so that none can stop whoever prints it.
"""

import json
import math
import re
import struct

import numpy as np

_LENGTH = struct.Struct(">I")
_LONGEST_JSON = 2**20
_MOST_BYTES = 2**28  # of all arrays and texts in a message
_LONGEST_LIST = 64  # a longer one is an array, or nothing
_DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")
# Control characters but tabs and line breaks, what reorders text, and halves of characters.
_UNWRITABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")


class BadMessage(Exception):
    """What came is not a message, or holds what a message may not hold; one sentence."""


class Bad(str):
    """In the place of a value that is no array of numbers: why, as a sentence that starts after "<function> "."""


def writable(text):
    """`text` with a mark for every character that a terminal, a file or a table cannot take."""
    return _UNWRITABLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def encode(value):
    """Bytes of `value`: None, bool, int, float, str, anything like an array, and lists, tuples and dicts of these."""
    tail = []
    text = json.dumps(_to_json(value, tail)).encode()
    if len(text) > _LONGEST_JSON or sum(map(len, tail)) > _MOST_BYTES:
        raise BadMessage("returned more than can be passed on")
    return b"".join([_LENGTH.pack(len(text)), text, *tail])


def decode(read):
    """The value of the next message; `read(n)` returns exactly n bytes."""
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    if length > _LONGEST_JSON:
        raise BadMessage("sent what is no answer")
    try:
        return _from_json(json.loads(read(length)), read, [_MOST_BYTES])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise BadMessage("sent what is no answer") from error


def _to_json(value, tail):
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Bad):
        return {"bad": str(value)[:300]}
    if isinstance(value, str):
        tail.append(value.encode("utf-8", "replace"))
        return {"text": len(tail[-1])}
    if isinstance(value, dict):
        return {"dict": {str(k): _to_json(v, tail) for k, v in value.items()}}
    if isinstance(value, (tuple, list)) and len(value) <= _LONGEST_LIST:
        return [_to_json(v, tail) for v in value]
    try:
        array = _as_numpy(value)
    except Exception as error:  # noqa: BLE001 - converting a submission's object runs its code
        return {"bad": f"returned a {type(value).__name__}, which is no array of numbers ({error!s:.200})"}
    tail.append(np.ascontiguousarray(array).tobytes())
    return {"array": [array.dtype.name, list(array.shape)]}


def _as_numpy(value):
    """Tensors of all libraries, with gradients or not, sparse matrices, and whatever NumPy itself can read."""
    if isinstance(value, (list, tuple)) and value and hasattr(value[0], "detach"):
        return np.array([_as_numpy(entry) for entry in value])
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    for dense in ("toarray", "to_dense", "to_numpy"):
        if hasattr(value, dense):
            value = getattr(value, dense)()
            break
    array = np.asarray(value)
    if array.dtype.kind == "c" and np.abs(array.imag).max(initial=0) <= 1e-9 * np.abs(array.real).max(initial=0):
        array = array.real
    if array.dtype.kind in "cSUMm":
        raise TypeError(f"its entries are of type {array.dtype.name}")
    return array if array.dtype.name in _DTYPES else array.astype(np.float64)


def _from_json(content, read, left):
    if isinstance(content, list):
        return [_from_json(c, read, left) for c in content]
    if not isinstance(content, dict):
        return content
    if "dict" in content:
        return {writable(k): _from_json(v, read, left) for k, v in content["dict"].items()}
    if "bad" in content:
        return Bad(writable(content["bad"]))
    if "text" in content:
        return writable(read(_afford(left, int(content["text"]))).decode("utf-8", "replace"))
    name, shape = content["array"]
    shape = [int(n) for n in shape]
    if name not in _DTYPES or min(shape, default=0) < 0 or len(shape) > 8:
        raise BadMessage("sent what is no answer")
    dtype = np.dtype(name)
    return np.frombuffer(read(_afford(left, math.prod(shape) * dtype.itemsize)), dtype).reshape(shape).copy()


def _afford(left, count):
    left[0] -= count
    if count < 0 or left[0] < 0:
        raise BadMessage("returned an array far too large")
    return count
