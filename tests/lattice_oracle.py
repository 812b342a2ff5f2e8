"""What the lattice must agree with, in NumPy and float64: Λ entry by entry, and random ones."""

import numpy as np

from assignment.lattice.stencil import OFFSETS

CONNECTIVITY = {len(offsets): connectivity for connectivity, offsets in OFFSETS.items()}


def edges(connectivity, height, width):
    """(k, pixel, neighbour), pixels as (row, column), for every edge of the image."""
    for h, w in np.ndindex(height, width):
        for k, (down, right) in enumerate(OFFSETS[connectivity]):
            if h + down < height and 0 <= w + right < width:
                yield k, (h, w), (h + down, w + right)


def precision_matrix(diagonal, couplings, height, width):
    """Λ, [..., D, D], from `diagonal` [..., H, W] or [..., 1, 1] and `couplings` [..., K, H, W] or [..., K, 1, 1]."""
    diagonal, couplings = np.asarray(diagonal, np.float64), np.asarray(couplings, np.float64)
    batch = np.broadcast_shapes(diagonal.shape[:-2], couplings.shape[:-3])
    directions = couplings.shape[-3]
    diagonal = np.broadcast_to(diagonal, (*batch, height, width))
    couplings = np.broadcast_to(couplings, (*batch, directions, height, width))
    matrix = np.zeros((*batch, height, width, height, width))
    for h, w in np.ndindex(height, width):
        matrix[..., h, w, h, w] = diagonal[..., h, w]
    for k, pixel, neighbour in edges(CONNECTIVITY[directions], height, width):
        matrix[(..., *pixel, *neighbour)] = matrix[(..., *neighbour, *pixel)] = couplings[(..., k, *pixel)]
    return matrix.reshape(*batch, height * width, height * width)


def random_fields(random, connectivity, weights, height, width, batch=(), margin=0.5):
    """Fields (diagonal, couplings) of Λ, seldom diagonally dominant, whose least eigenvalue is `margin`."""
    directions = len(OFFSETS[connectivity])
    size = (1, 1) if weights == "shared" else (height, width)
    diagonal = random.uniform(-0.5, 0.5, (*batch, *size))
    couplings = random.standard_normal((*batch, directions, *size))
    if weights == "per_edge":
        inside = np.zeros((directions, height, width), bool)
        for k, pixel, _ in edges(connectivity, height, width):
            inside[(k, *pixel)] = True
        couplings = couplings * inside
    least = np.linalg.eigvalsh(precision_matrix(diagonal, couplings, height, width))[..., 0]
    return diagonal + (margin - least)[..., None, None], couplings


def finite_differences(value, variable, step=1e-5):
    """The gradient of value() in the entries of a variable."""
    start = variable.numpy()
    result = np.empty_like(start)
    for k in np.ndindex(start.shape):
        ends = []
        for sign in (1, -1):
            end = start.copy()
            end[k] += sign * step
            variable.assign(end)
            ends.append(float(value()))
        result[k] = (ends[0] - ends[1]) / (2 * step)
    variable.assign(start)
    return result
