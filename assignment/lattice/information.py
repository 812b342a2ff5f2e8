"""Expected moments and Fisher information of a lattice's Gaussian.

In θ, p_θ(x) ∝ exp(θ · s(x)) with s_k(x) = −½ xᵀA_k x and A_k = ∂Λ/∂θ_k, so that E_θ[xᵀA_k x] = tr(ΣA_k) and
F_kl = Cov_θ(s_k, s_l) = ½ tr(ΣA_kΣA_l) (Wainwright & Jordan 2008, section 3; Isserlis' theorem). All in float64.
F of per-edge weights is dense, [P, P], and never formed: its inverse is nearly local, and what follows needs F between
near weights (`near_information`) and the product Fv (`information_product`).
"""

import math
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from assignment.lattice.cholesky import graph_by_size
from assignment.lattice.nearby import Entries
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.sine import symbols
from assignment.lattice.stencil import edge_ends, weight_pixels

STEP = 1e-4  # of the difference in `information_product`, in nats of spread
SHARED_STEP = 1e-3  # of the differences in `shared_information`, as a share of 1/tr Σ
# The offsets (down, right) to the pixels that are at most three rows and columns away and have a larger number.
LATER = [(down, right) for down in range(4) for right in range(-3, 4) if (down, right) > (0, 0)]


def data_moments(layer: StencilPrecision, chunks: Iterable[np.ndarray]) -> np.ndarray:
    """The mean `quadratic_moments` of images, float64 [P]: all of the data that the likelihood depends on.

    Args:
      layer: says which pixels share a weight.
      chunks: the images, some at a time, each [n, H, W].
    """
    pixels, *edges = _mean_products(chunks, [(0, 0), *layer.offsets])
    return pool(layer, np.concatenate([pixels.ravel(), *(2 * edge.ravel() for edge in edges)]))


def _mean_products(chunks, offsets):
    """E[x_i x_j] of the pairs of pixels at each offset (down, right), float64, cut as `edge_ends` cuts."""
    totals, count = [0.0] * len(offsets), 0
    for x in chunks:
        if np.ndim(x) != 3:
            raise ValueError(f"chunks must be arrays [n, H, W], not of shape {np.shape(x)}")
        for k, (first, second) in enumerate(map(edge_ends, offsets)):
            totals[k] += np.einsum("nhw,nhw->hw", x[first], x[second], dtype=np.float64)
        count += len(x)
    return [total / count for total in totals]


def near_second_moments(layer: StencilPrecision, chunks: Iterable[np.ndarray]) -> np.ndarray:
    """E[x_i x_j] of images for pixels at most two rows and columns apart, [7, 7, H, W] as `at` reads it."""
    near = np.zeros([4, 7, layer.height, layer.width])
    offsets = [(0, 0)] + [(down, right) for down, right in LATER if down <= 2 and abs(right) <= 2]
    for (down, right), mean in zip(offsets, _mean_products(chunks, offsets), strict=True):
        near[down, 3 + right][edge_ends((down, right))[0]] = mean
    return _both_ways(near)


def _both_ways(near):
    """Numbers of pairs of pixels, from the layout of `near_covariances`, [4, 7, H, W], to that which `at` reads."""
    whole = np.concatenate([np.zeros([3, *near.shape[1:]]), near])
    for down, right in LATER:
        first, second = edge_ends((down, right))
        whole[3 - down, 3 - right][second] = near[down, 3 + right][first]
    return whole


def at(near: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The entries between pixels `one` and `other`, by number, at most three rows and columns apart.

    Args:
      near: [7, 7, H, W]; the entry between (r, c) and (r + down, c + right) is [3 + down, 3 + right, r, c].
    """
    count, width = near[0, 0].size, near.shape[-1]

    def place(pixel):
        row, column = np.divmod(pixel, width)
        return (7 * row + column) * count

    return near.ravel()[(one - place(one)) + (place(other) + 24 * count)]


def pool(layer: StencilPrecision, by_edge: np.ndarray) -> np.ndarray:
    """Sums numbers for each pixel and edge over those that share a weight: [D + E] → [P]."""
    if layer.shared:
        return np.array([group.sum() for group in np.split(by_edge, np.cumsum(layer.edge_counts)[:-1])])
    return by_edge


def expected_moments(layer: StencilPrecision, theta: np.ndarray | None = None) -> np.ndarray:
    """E_θ[xᵀA_k x] = tr(ΣA_k), [P]: what `quadratic_moments` averages to under the model.

    Args:
      theta: the weights, [P]; those of the layer where none are given.
    """
    theta = double(layer, theta)
    if layer.shared and layer.operator(theta).sine_diagonal:
        return _sine_moments(layer, theta).sum(axis=(1, 2))
    return layer.sum_by_weight(_selected_inverse(layer.operator(theta))).numpy()


def double(layer: StencilPrecision, theta: np.ndarray | None = None) -> np.ndarray:
    """The weights θ, or those of the layer, as float64 [P]."""
    return np.asarray(layer.theta.numpy() if theta is None else theta, np.float64)


# As graphs: one by one, their small operations take longer than the factorisation of a small lattice.


@graph_by_size
def _selected_inverse(operator):
    variances, covariances = operator.selected_inverse()
    return [variances, *tf.unstack(covariances)]


@graph_by_size
def _log_determinant(operator):
    return operator.log_determinant()


def _sine_moments(layer, theta):
    """The part of each frequency in tr(ΣA_k), [P, H, W]: the eigenvalues of A_k over those of Λ."""
    grid = symbols(layer.height, layer.width, layer.offsets)
    return grid / np.tensordot(theta, grid, axes=1)


def shared_information(layer: StencilPrecision, theta: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(`expected_moments` [P], F [P, P]) of shared weights, P = 3 or 5."""
    theta = double(layer, theta)
    if layer.operator(theta).sine_diagonal:
        grid = _sine_moments(layer, theta)
        return grid.sum(axis=(1, 2)), 0.5 * np.einsum("khw,lhw->kl", grid, grid)
    # Differences of fourth order, to 1e-8 of F. Λ stays positive definite: no eigenvalue of Σ is above tr Σ.
    moments = expected_moments(layer, theta)
    step = SHARED_STEP / moments[0]

    def along(length):
        return np.array([expected_moments(layer, theta + length * unit) for unit in step * np.eye(len(theta))])

    columns = (8 * (along(-1) - along(1)) - (along(-2) - along(2))) / (24 * step)
    return moments, (columns + columns.T) / 2


def near_information(layer: StencilPrecision, theta: np.ndarray | None = None) -> tuple[np.ndarray, Entries]:
    """(`expected_moments` [P], entries(k, l) = F_kl) of per-edge weights; F only between near weights."""
    near = _both_ways(layer.operator(double(layer, theta)).near_covariances().numpy())
    upper, lower = weight_pixels(layer.connectivity, layer.height, layer.width)
    scale = np.where(upper == lower, 0.5, 1.0)

    def entries(k, l):  # noqa: E741  (F_kl)
        (i, j), (p, q) = (upper[k], lower[k]), (upper[l], lower[l])
        products = at(near, i, p) * at(near, j, q) + at(near, i, q) * at(near, j, p)
        return scale[k] * scale[l] * products

    return 2 * scale * at(near, upper, lower), entries


def information_product(
    layer: StencilPrecision, theta: np.ndarray, expected: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Fv = −½ d/dh E_{θ+hv}[xᵀA_k x], [P], from the moments at θ, `expected`, and at θ + hv.

    v = `direction` is of about one nat, vᵀFv ≈ 1. A step of h nats of spread leaves Λ positive definite: no eigenvalue
    of Σ^½ΔΣ^½ is larger than √2 h. The relative error of the difference is about as small, 1e-4.
    """
    return (expected - expected_moments(layer, theta + STEP * direction)) / (2 * STEP)


def mean_log_likelihood(layer: StencilPrecision, moments: np.ndarray, theta: np.ndarray | None = None) -> float:
    """E_data[log p_θ(x)] in nats per image, with the exact log Z, from the data's average moments [P] alone."""
    theta = double(layer, theta)
    log_determinant = float(_log_determinant(layer.operator(theta)))
    return 0.5 * (log_determinant - layer.pixels * math.log(2 * math.pi) - float(theta @ moments))
