"""Checks of arguments, for all who train: each names the argument, and says what was given.

As a rule, TypeError for what is of the wrong kind and ValueError for what is out of range.
"""

import math
import numbers
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from assignment.errors import did_you_mean

_LIMIT = 2**31  # TensorFlow's seeds and counters are 32-bit.


def whole(name: str, value: Any, least: int = 0) -> int:
    """`value` as an int, if it is a whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, not {_shown(value)}")
    if not least <= value < _LIMIT:
        raise ValueError(f"{name} must be at least {least}{' and below 2³¹' if value > least else ''}, not {value}")
    return int(value)


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf, words: str = "finite") -> float:
    """`value` as a float, if it is a number strictly between `low` and `high`; `words` say so."""
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        converted = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {_shown(value)}") from None
    if not low < converted < high:
        raise ValueError(f"{name} must be {words}, not {converted:g}")
    return converted


def positive(name: str, value: Any) -> float:
    """`value` as a float, if it is a finite number above 0."""
    return number(name, value, low=0, words="a positive number")


def one_of(name: str, value: Any, known: Collection) -> Any:
    """`value`, if it is among the `known`; else the nearest of them is suggested."""
    if not (isinstance(value, (str, numbers.Integral)) and value in known):
        listed = ", ".join(map(str, known))
        raise ValueError(f"{name} must be one of {listed}, not {_shown(value)}{did_you_mean(value, known)}")
    return value


def pair(name: str, value: Any) -> None:
    """Refuses what is not two numbers, as the seeds of TensorFlow's stateless random numbers are."""
    if isinstance(value, str) or tuple(np.shape(value)) != (2,):
        raise ValueError(f"{name} must be a pair of integers, not {_shown(value)}")


def array(name: str, value: Any, shape: Sequence[int], dtype: Any = np.float64) -> np.ndarray:
    """`value` as an array of a given shape, if its numbers are real, and finite in `dtype`."""
    value = _array(name, value, f"an array of shape {tuple(shape)}")
    if value.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, not {value.dtype}")
    if value.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, not {value.shape}")
    return _finite(name, value, dtype)


def image_stack(value: Any) -> np.ndarray:
    """Images as float32 [N, H, W], if they are a finite, non-empty stack; a memory map is not read into memory."""
    value = _array("images", value, "an array [N, H, W]")
    if value.ndim != 3 or not value.size:
        raise ValueError(f"images must be a non-empty array [N, H, W], not one of shape {value.shape}")
    if value.dtype.kind != "f":
        raise ValueError(f"images must be floating point, not {value.dtype}")
    return _finite("images", value, np.float32)


def image_shape(name: str, value: Any, height: int, width: int) -> None:
    """Refuses what is not real images [..., height, width], as far as its shape is known beforehand."""
    if "complex" in _dtype(value):
        raise TypeError(f"{name} must hold real numbers, not {_dtype(value)}")
    shape = np.shape(value)
    rank = shape.rank if hasattr(shape, "rank") else len(shape)
    if rank is None:
        return
    if rank < 2 or any(n not in (None, m) for n, m in zip(shape[-2:], (height, width), strict=True)):
        raise ValueError(f"{name} must be images [..., {height}, {width}], not of shape {tuple(shape)}")


def floating(name: str, value: Any) -> None:
    """Refuses what is not an array or tensor of floating-point numbers."""
    if "float" not in _dtype(value):
        raise TypeError(f"{name} must hold floating-point numbers, not {_dtype(value) or _shown(value)}")


def trainable(layer: Any, images: np.ndarray) -> None:
    """Refuses a layer that images [N, H, W] cannot train: frozen, of another size, without edges, or all zero."""
    if not getattr(layer, "built", False):
        raise ValueError("layer must be built first: layer.match_variances(images), or layer.build(images.shape)")
    if not layer.trainable_variables:
        raise ValueError("layer must be trainable: it or its theta is frozen; set layer.trainable = True to train it")
    if images.shape[1:] != (layer.height, layer.width):
        raise ValueError(
            f"images must be of the layer's size, {layer.height} × {layer.width} pixels, "
            f"not {images.shape[1]} × {images.shape[2]}"
        )
    missing = [offset for offset, edges in zip(layer.offsets, layer.edge_counts[1:], strict=True) if not edges]
    if layer.shared and missing:
        raise ValueError(
            f"layer must have edges for every weight: images of {layer.height} × {layer.width} pixels have none of "
            f"the direction (down, right) = {missing[0]}, and nothing determines its weight; use weights='per_edge'"
        )
    used = images.any(axis=0)
    varying(used.any() if layer.shared else used)


def varying(squares: np.ndarray) -> None:
    """Refuses diagonal weights whose pixels are zero in every image, by a square for each: no finite Λ_ii fits them."""
    constant = np.count_nonzero(np.asarray(squares) == 0)
    if constant:
        raise ValueError(
            f"images must vary: the pixels of {constant} of {np.size(squares)} diagonal weights are zero in every "
            "image, and no finite precision fits them"
        )


def _array(name, value, expected):
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be {expected}, not {_shown(value)}") from None


def _finite(name, value, dtype):
    with np.errstate(over="ignore"):
        value = value.astype(dtype, copy=False)
    # The extremes of a memory map take no memory. NaN is both.
    if not np.isfinite([value.min(initial=0), value.max(initial=0)]).all():
        raise ValueError(f"{name} must be finite: some of its numbers are NaN or infinite in {np.dtype(dtype)}")
    return value


def _dtype(value):
    """The name of the dtype of an array or tensor, "" for other things."""
    dtype = getattr(value, "dtype", "")
    return getattr(dtype, "name", str(dtype))


def _shown(value):
    words = repr(value) if isinstance(value, (str, int, float, complex, type(None))) else f"a {type(value).__name__}"
    return words if len(words) <= 60 else f"{words[:60]}…"
