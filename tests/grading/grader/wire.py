"""Messages between the grader and the process that runs a submission: JSON and plain bytes, nothing executable.

A message is two lengths, JSON of the first and, of the second, the bytes of the arrays and texts that it names. Either
side may be hostile: lengths, types and shapes are checked before anything is made of them, and every text is made
writable, so that none can stop whoever prints it.
"""

import io
import json
import math
import re
import struct

import numpy as np

_LENGTHS = struct.Struct(">II")
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
    text, size = json.dumps(_to_json(value, tail)).encode(), sum(map(len, tail))
    if len(text) > _LONGEST_JSON or size > _MOST_BYTES:
        raise BadMessage("returned more than can be passed on")
    return b"".join([_LENGTHS.pack(len(text), size), text, *tail])


def decode(read):
    """The value of the next message; `read(n)` returns exactly n bytes."""
    length, size = _LENGTHS.unpack(read(_LENGTHS.size))
    if length > _LONGEST_JSON or size > _MOST_BYTES:
        raise BadMessage("sent what is no answer")
    text, tail = read(length), io.BytesIO(read(size))
    try:
        return _from_json(json.loads(text), tail)
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
    except Exception as error:  # converting a submission's object runs its code
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


def _from_json(content, tail):
    if isinstance(content, list):
        return [_from_json(c, tail) for c in content]
    if not isinstance(content, dict):
        return content
    if "dict" in content:
        return {writable(k): _from_json(v, tail) for k, v in content["dict"].items()}
    if "bad" in content:
        return Bad(writable(content["bad"]))
    if "text" in content:
        return writable(tail.read(content["text"]).decode("utf-8", "replace"))
    name, shape = content["array"]
    if name not in _DTYPES or min(shape, default=0) < 0 or len(shape) > 8:
        raise ValueError
    dtype = np.dtype(name)
    return np.frombuffer(tail.read(math.prod(shape) * dtype.itemsize), dtype).reshape(shape).copy()
