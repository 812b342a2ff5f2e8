"""The neighbourhood as data: which pixels share an edge, and how the stencil's weights are numbered.

A coupling direction is an offset (down, right). The rest of the package is written once for a tuple of offsets: the
8-connected lattice differs from the 4-connected one by the entries of `OFFSETS` alone.
"""

from __future__ import annotations

import numpy as np

from assignment.checks import one_of

Offset = tuple[int, int]
OFFSETS = {4: ((0, 1), (1, 0)), 8: ((0, 1), (1, 0), (1, 1), (1, -1))}
DIRECTIONS = {(0, 1): "right", (1, 0): "down", (1, 1): "down-right", (1, -1): "down-left"}


def offsets(connectivity: int) -> tuple[Offset, ...]:
    """The K offsets of a neighbourhood; ValueError unless `connectivity` is 4 or 8."""
    return OFFSETS[one_of("connectivity", connectivity, OFFSETS)]


def edge_ends(offset: Offset) -> tuple[tuple, tuple]:
    """Index expressions (first, second) that cut an [..., H, W] array to the two ends of every edge along `offset`.

    Both results have the shape `edge_shape(offset, H, W)`; entry [h, w] of the first and of the second share an edge.
    """
    down, right = offset
    rows = slice(None, -down or None), slice(down, None)
    columns = slice(None, -right or None), slice(right, None)
    if right < 0:
        columns = slice(-right, None), slice(None, right)
    return (..., rows[0], columns[0]), (..., rows[1], columns[1])


def edge_shape(offset: Offset, height: int, width: int) -> tuple[int, int]:
    """The number of edges along `offset`, as (rows, columns)."""
    down, right = offset
    return max(height - down, 0), max(width - abs(right), 0)


def padding(offset: Offset) -> tuple[tuple[int, int], tuple[int, int]]:
    """How to pad the field of edges along `offset` to [H, W] (zero where the neighbour is off the image)."""
    down, right = offset
    return (0, down), (max(-right, 0), max(right, 0))


def weight_pixels(connectivity: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The entries of Λ that the weights of a per-edge stencil stand for, in the order of θ.

    Returns:
      (rows, columns), two integer arrays of length D + E over row-by-row pixel numbers: first the D diagonal entries,
      then the upper end and the lower end of the edges, direction by direction.
    """
    pixels = np.arange(height * width).reshape(height, width)
    ends = [(pixels, pixels)] + [
        (pixels[first], pixels[second]) for first, second in map(edge_ends, offsets(connectivity))
    ]
    rows, columns = zip(*ends, strict=True)
    return np.concatenate([r.ravel() for r in rows]), np.concatenate([c.ravel() for c in columns])


def weight_sizes(connectivity: int, height: int, width: int) -> list[int]:
    """The lengths of the groups of θ for a per-edge stencil: D, then the number of edges along each direction."""
    return [height * width] + [int(np.prod(edge_shape(o, height, width))) for o in offsets(connectivity)]
