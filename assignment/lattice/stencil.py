"""The neighbourhood as data: which pixels share an edge, and how the stencil's weights are numbered.

A coupling direction is an offset (down, right). The rest of the package is written once for a tuple of offsets: the
8-connected lattice differs from the 4-connected one by the entries of `OFFSETS` alone, and by the sine transform, which
serves the latter only.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from assignment.checks import one_of

Offset = tuple[int, int]
OFFSETS = {4: ((0, 1), (1, 0)), 8: ((0, 1), (1, 0), (1, 1), (1, -1))}
DIRECTIONS = {(0, 1): "right", (1, 0): "down", (1, 1): "down-right", (1, -1): "down-left"}


def offsets(connectivity: int) -> tuple[Offset, ...]:
    """The K offsets of a neighbourhood; ValueError unless `connectivity` is 4 or 8."""
    return OFFSETS[one_of("connectivity", connectivity, OFFSETS)]


def offsets_of(couplings: Any) -> tuple[Offset, ...]:
    """The K offsets of couplings [..., K, H, W]."""
    return OFFSETS[2 * couplings.shape[-3]]


def edge_ends(offset: Offset) -> tuple[tuple, tuple]:
    """Index expressions (first, second) that cut an [..., H, W] array to the two ends of every edge along `offset`.

    Both results have one shape; entry [h, w] of the first and of the second share an edge.
    """
    down, right = offset
    rows = slice(None, -down or None), slice(down, None)
    columns = slice(None, -right or None), slice(right, None)
    if right < 0:
        columns = slice(-right, None), slice(None, right)
    return (..., rows[0], columns[0]), (..., rows[1], columns[1])


@functools.lru_cache(maxsize=8)
def weight_pixels(connectivity: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The entries of Λ that the weights of a per-edge stencil stand for, in the order of θ.

    Returns:
      (rows, columns), two integer arrays of length D + E over row-by-row pixel numbers: first the D diagonal entries,
      then the upper end and the lower end of the edges, direction by direction.
    """
    pixels = np.arange(height * width).reshape(height, width)
    ends = [(pixels, pixels)]
    ends += [(pixels[first], pixels[second]) for first, second in map(edge_ends, offsets(connectivity))]
    rows, columns = zip(*ends, strict=True)
    return np.concatenate([r.ravel() for r in rows]), np.concatenate([c.ravel() for c in columns])


def weight_sizes(connectivity: int, height: int, width: int) -> list[int]:
    """The lengths of the groups of θ for a per-edge stencil: D, then the number of edges along each direction."""
    edges = [max(height - down, 0) * max(width - abs(right), 0) for down, right in offsets(connectivity)]
    return [height * width, *edges]


@functools.lru_cache(maxsize=8)
def weight_places(connectivity: int, height: int, width: int) -> np.ndarray:
    """Where the weights of a per-edge stencil stand in 1 + K fields [H, W], flattened: an edge is at its upper end."""
    sizes = weight_sizes(connectivity, height, width)
    return np.repeat(np.arange(len(sizes)), sizes) * height * width + weight_pixels(connectivity, height, width)[0]


@functools.lru_cache(maxsize=8)
def edges_inside(connectivity: int, height: int, width: int) -> np.ndarray:
    """Which pixels are the upper end of an edge, by direction: bool [K, H, W]."""
    inside = np.zeros([len(offsets(connectivity)), height, width], bool)
    for field, offset in zip(inside, offsets(connectivity), strict=True):
        field[edge_ends(offset)[0]] = True
    return inside
