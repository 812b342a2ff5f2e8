"""What the exponential family of a lattice knows of itself: expected moments and Fisher information.

In θ, p_θ(x) ∝ exp(θ · s(x)) with s_k(x) = −½ xᵀA_k x and A_k = ∂Λ/∂θ_k, so that E_θ[xᵀA_k x] = tr(ΣA_k) and
F_kl = Cov_θ(s_k, s_l) = ½ tr(ΣA_kΣA_l) (Wainwright & Jordan 2008, section 3; Isserlis' theorem).
All in float64. Shared weights need Σ only where Λ has entries; the information of per-edge weights, [P, P], all of it.
"""

import itertools

import numpy as np
import tensorflow as tf

from assignment.lattice.cholesky import factor_bytes
from assignment.lattice.memory import require
from assignment.lattice.operator import LinearOperatorLattice
from assignment.lattice.sine import symbols
from assignment.lattice.stencil import edge_ends, weight_pixels


def covariance(layer):
    """Σ = Λ⁻¹, [D, D]."""
    # Measured: Λ in both precisions, the identity, the factor and Σ itself.
    require(6 * 8 * layer.pixels**2, f"Σ of {layer.height} × {layer.width} pixels as a dense matrix")
    return np.linalg.inv(layer.to_dense().numpy().astype(np.float64))


def pool_moments(layer, second_moments):
    """The mean `quadratic_moments` [P] of images with E[xxᵀ] = `second_moments` [D, D]."""
    rows, columns = weight_pixels(layer.connectivity, layer.height, layer.width)
    return pool(layer, np.where(rows == columns, 1.0, 2.0) * second_moments[rows, columns])


def pool(layer, per_edge):
    """Sums numbers for each pixel and edge over those that share a weight: [D + E] → [P]."""
    if layer.shared:
        return np.array([group.sum() for group in np.split(per_edge, np.cumsum(layer.edge_counts)[:-1])])
    return per_edge


def expected_moments(layer):
    """E_θ[xᵀA_k x] = tr(ΣA_k), [P]: what `quadratic_moments` averages to under the model."""
    operator = layer.operator()
    if operator.sine_diagonal:
        return np.einsum("khw,hw->k", symbols(layer.height, layer.width, layer.offsets), _sine_covariance(layer))
    return pool(layer, _moments_by_edge(operator).numpy())


def _moments_by_edge(operator):
    """Σ_ii of the pixels and 2Σ_ij of the edges, [D + E]."""
    variances, covariances = operator.selected_inverse()
    edges = [2 * tf.reshape(covariances[k][edge_ends(o)[0]], [-1]) for k, o in enumerate(operator.offsets)]
    return tf.concat([tf.reshape(variances, [-1]), *edges], axis=0)


def fisher_information(layer):
    """F_kl = ½ tr(ΣA_kΣA_l), [P, P]."""
    return moments_and_information(layer)[1]


def moments_and_information(layer):
    """(`expected_moments`, `fisher_information`), at the price of one inversion."""
    if layer.shared and layer.connectivity == 4:  # One diagonal direction alone has no sine form.
        grid = symbols(layer.height, layer.width, layer.offsets) * _sine_covariance(layer)
        return grid.sum(axis=(1, 2)), 0.5 * np.einsum("khw,lhw->kl", grid, grid)
    if layer.shared:
        return _moments_and_their_slope(layer)
    need = 8 * (8 * layer.pixels**2 + layer.theta.shape[0] ** 2)
    require(need, f"the Fisher information of per-edge weights on {layer.height} × {layer.width} pixels")
    sigma = covariance(layer)
    return pool_moments(layer, sigma), _information(layer, sigma.reshape([layer.height, layer.width] * 2))


def root(information):
    """L of LLᵀ = F, [P, P].

    At the border of the cone one eigenvalue of F is so large that the others drown in its rounding, and F may have no
    root: there L is that of F + δI, with δ just above the rounding.
    """
    try:
        return np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        rounding = len(information) * np.finfo(np.float64).eps * np.trace(information)
        least = np.linalg.eigvalsh(information)[0]
        return np.linalg.cholesky(information + (rounding - least) * np.eye(len(information)))


def _moments_and_their_slope(layer):
    """F_kl = −½ ∂ tr(ΣA_k)/∂θ_l, by differentiating the entries of Σ that the moments need."""
    # Measured: ten times what a factorisation alone takes, for all that the way back through one has to keep.
    need = 10 * factor_bytes(layer.height, layer.width)
    require(need, f"the Fisher information of a lattice of {layer.height} × {layer.width} pixels")
    theta = tf.constant(layer.theta.numpy(), tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(theta)
        diagonal, couplings = tf.reshape(theta[:1], [1, 1]), tf.reshape(theta[1:], [-1, 1, 1])
        by_edge = _moments_by_edge(LinearOperatorLattice(diagonal, couplings, layer.height, layer.width))
        moments = [tf.reduce_sum(group) for group in tf.split(by_edge, layer.edge_counts)]
    slope = [tape.gradient(moment, theta) for moment in moments]
    return np.array(moments), -0.5 * np.array(slope)


def _information(layer, sigma):
    """F of per-edge weights."""
    ends = [((...,), (...,)), *map(edge_ends, layer.offsets)]
    starts = np.cumsum([0, *layer.group_sizes])
    information = np.empty([starts[-1]] * 2)
    for k, j in itertools.combinations_with_replacement(range(len(ends)), 2):
        block = _covariance_of_products(sigma, ends[k], ends[j])
        block *= (1 if k else 0.5) * (1 if j else 0.5)
        here, there = slice(*starts[k : k + 2]), slice(*starts[j : j + 2])
        information[here, there] = block
        information[there, here] = block.T
    return information


def _covariance_of_products(sigma, one, other):
    """Cov(x_i x_j, x_k x_l) = Σ_ik Σ_jl + Σ_il Σ_jk over the edges ij of `one` and kl of `other`, as a matrix."""

    def block(a, b):
        cut = sigma[(*a[1:], ...)][b]
        return np.reshape(cut, (cut.shape[0] * cut.shape[1], cut.shape[2] * cut.shape[3]))

    product = block(one[0], other[0]) * block(one[1], other[1])
    product += block(one[0], other[1]) * block(one[1], other[0])
    return product


def _sine_covariance(layer):
    grid = symbols(layer.height, layer.width, layer.offsets)
    return 1 / np.tensordot(layer.theta.numpy().astype(np.float64), grid, axes=1)


def independent_information(layer):
    """The diagonal of F and E[s], both [P], of independent pixels with variances 1/Λ_ii.

    F is diagonal then: Var(−½x_i²) = ½Λ_ii⁻² and Var(−x_i x_j) = (Λ_ii Λ_jj)⁻¹.
    """
    variance = 1 / layer.operator().diag_part().numpy().astype(np.float64)
    rows, columns = weight_pixels(layer.connectivity, layer.height, layer.width)
    information = np.where(rows == columns, 0.5, 1.0) * variance[rows] * variance[columns]
    mean = np.where(rows == columns, -0.5, 0.0) * variance[rows]
    return pool(layer, information), pool(layer, mean)
