"""Checks of arguments, for all who train: each names the argument, and says what was given.

TypeError for what is of the wrong kind, ValueError for what is out of range.
"""

import math
import numbers
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from assignment.errors import did_you_mean

CHUNK = 1024  # images that are looked at at once: a memory map may be larger than memory
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
    try:
        value = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be an array of shape {tuple(shape)}, not {_shown(value)}") from None
    if value.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, not {value.dtype}")
    if value.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, not {value.shape}")
    return _finite(name, value, dtype)


def image_stack(value: Any, name: str = "images") -> np.ndarray:
    """Images as float32 [N, H, W], if they are a finite, non-empty stack."""
    try:
        value = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be an array [N, H, W], not {_shown(value)}") from None
    if value.ndim != 3 or not value.size:
        raise ValueError(f"{name} must be a non-empty array [N, H, W], not one of shape {value.shape}")
    if value.dtype.kind != "f":
        raise ValueError(f"{name} must be floating point, not {value.dtype}")
    if value.dtype != np.float32:
        return _finite(name, value, np.float32)
    for start in range(0, len(value), CHUNK):
        _finite(name, value[start : start + CHUNK], np.float32)
    return value


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
    """Refuses a layer that images [N, H, W] cannot train: frozen, of another size or dtype, or with images of zeros."""
    if not getattr(layer, "built", False):
        raise ValueError("layer must be built first: layer.match_variances(images), or layer.build(images.shape)")
    if not layer.trainable_variables:
        raise ValueError("layer must be trainable: it or its theta is frozen; set layer.trainable = True to train it")
    if images.shape[1:] != (layer.height, layer.width):
        raise ValueError(
            f"images must be of the layer's size, {layer.height} × {layer.width} pixels, "
            f"not {images.shape[1]} × {images.shape[2]}"
        )
    determined(layer)
    largest = np.max([np.abs(images[k : k + CHUNK]).max(axis=0) for k in range(0, len(images), CHUNK)], axis=0)
    varying(largest.max() if layer.shared else largest)


def determined(layer: Any) -> None:
    """Refuses a layer with a weight for edges of which there are none."""
    missing = [offset for offset, edges in zip(layer.offsets, layer.edge_counts[1:], strict=True) if not edges]
    if layer.shared and missing:
        raise ValueError(
            f"layer must have edges for every weight: images of {layer.height} × {layer.width} pixels have none of "
            f"the direction (down, right) = {missing[0]}, and nothing determines its weight; use weights='per_edge'"
        )


def varying(squares: np.ndarray) -> None:
    """Refuses diagonal weights whose pixels are zero in every image, by a square for each: no finite Λ_ii fits them."""
    constant = np.count_nonzero(np.asarray(squares) == 0)
    if constant:
        raise ValueError(
            f"images must vary: the pixels of {constant} of {np.size(squares)} diagonal weights are zero in every "
            "image, and no finite precision fits them"
        )


def _finite(name, value, dtype):
    with np.errstate(over="ignore"):
        value = value.astype(dtype, copy=False)
    if not np.isfinite(value).all():
        raise ValueError(f"{name} must be finite: some of its numbers are NaN or infinite in {np.dtype(dtype)}")
    return value


def _dtype(value):
    """The name of the dtype of an array or tensor, "" for other things."""
    dtype = getattr(value, "dtype", "")
    return getattr(dtype, "name", str(dtype))


def _shown(value):
    words = repr(value) if isinstance(value, (str, int, float, complex, type(None))) else f"a {type(value).__name__}"
    return words if len(words) <= 60 else f"{words[:60]}…"
