"""Messages between the grader and the process that runs a submission: JSON and plain bytes, nothing executable.

A message is a line of JSON, preceded by its length, and then the bytes of the arrays that it names. Either side may
be hostile: lengths, types and shapes are checked before anything is read or made of them.
"""

import json
import math
import struct

import numpy as np

_LENGTH = struct.Struct(">I")
_LONGEST_JSON = 2**20
_MOST_BYTES = 2**28
_DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")


class BadMessage(Exception):
    """What came is not a message, or holds what a message may not hold; one sentence."""


def encode(value):
    """Bytes of `value`: None, bool, int, float, str, NumPy arrays, and lists, tuples and dicts of these."""
    arrays = []
    text = json.dumps(_to_json(value, arrays)).encode()
    if len(text) > _LONGEST_JSON:
        raise BadMessage("returned more text than can be passed on")
    return b"".join([_LENGTH.pack(len(text)), text, *(np.ascontiguousarray(a).tobytes() for a in arrays)])


def decode(read):
    """The value of the next message; `read(n)` returns exactly n bytes."""
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    if length > _LONGEST_JSON:
        raise BadMessage("sent what is no answer")
    try:
        content = json.loads(read(length))
        return _from_json(content, read)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise BadMessage("sent what is no answer") from error


def _to_json(value, arrays):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [_to_json(v, arrays) for v in value]
    if isinstance(value, dict):
        return {"dict": {str(k): _to_json(v, arrays) for k, v in value.items()}}
    array = np.asarray(value)  # tensors of all libraries come through here, too
    if array.dtype.name not in _DTYPES:
        if array.dtype.kind not in "iuf":
            raise BadMessage(f"returned a {type(value).__name__} of {array.dtype.name}, where numbers are needed")
        array = array.astype(np.float64)
    if array.nbytes > _MOST_BYTES:
        raise BadMessage(f"returned an array of shape {array.shape}, far too large")
    arrays.append(array)
    return {"array": [array.dtype.name, list(array.shape)]}


def _from_json(content, read):
    if isinstance(content, list):
        return [_from_json(c, read) for c in content]
    if not isinstance(content, dict):
        return content
    if "dict" in content:
        return {k: _from_json(v, read) for k, v in content["dict"].items()}
    name, shape = content["array"]
    shape = [int(n) for n in shape]
    if name not in _DTYPES or min(shape, default=0) < 0:
        raise BadMessage("sent what is no answer")
    dtype = np.dtype(name)
    size = math.prod(shape) * dtype.itemsize
    if size > _MOST_BYTES or len(shape) > 8:
        raise BadMessage("returned an array far too large")
    return np.frombuffer(read(size), dtype).reshape(shape).copy()
