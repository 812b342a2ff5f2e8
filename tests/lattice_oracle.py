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


def covariance_errors(draws, sigma):
    """The covariance of draws [N, ...] less Σ [D, D], in standard errors (Isserlis' theorem)."""
    error = np.sqrt((sigma**2 + np.outer(np.diag(sigma), np.diag(sigma))) / len(draws))
    return (np.cov(np.reshape(draws, (len(draws), -1)).T) - sigma) / error


def directions(layer):
    """A_k = ∂Λ/∂θ_k, [P, D, D]."""
    size = layer.height, layer.width
    ends = [(0, pixel, pixel) for pixel in np.ndindex(size)]
    ends += sorted((1 + k, pixel, neighbour) for k, pixel, neighbour in edges(layer.connectivity, *size))
    matrices = np.zeros((layer.theta.shape[0], *size, *size))
    for number, (group, one, other) in enumerate(ends):
        k = group if layer.shared else number
        matrices[(k, *one, *other)] = matrices[(k, *other, *one)] = 1
    return matrices.reshape(-1, layer.pixels, layer.pixels)


def assert_gradient(gradient, value, variable, step=1e-5):
    """Holds a gradient of value() in a variable against central differences along two random directions."""
    start = variable.numpy()
    for direction in np.random.default_rng(0).standard_normal((2, *start.shape)):
        ends = []
        for sign in (1, -1):
            variable.assign(start + sign * step * direction)
            ends.append(float(value()))
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6, atol=1e-7)
    variable.assign(start)
