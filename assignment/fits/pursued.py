"""The optimum that conditional NCE and score matching pursue, and how far a fit is from it.

Matched and preconditioned, it is that of maximum likelihood. With isotropic noise or M = I it is, at ε → 0, the closed
form of plain score matching, which may lie outside the cone.
"""

from typing import Any

import numpy as np

from assignment.data.minibatches import chunks
from assignment.fits.maximum_likelihood import conjugate_gradients
from assignment.fits.result import FitResult, status
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import at, double, expected_moments, mean_log_likelihood, near_second_moments, pool
from assignment.lattice.nearby import near_matrix, near_weights, sparse_whitening
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.stencil import weight_pixels
from assignment.seeds import seed_pair

ON_BORDER = "ended on the border of positive definiteness: the unconstrained optimum is not positive definite"
UNDETERMINED = "not known to be the optimum: these images leave the unconstrained one undetermined"
EVIDENCE = 2048  # images on which the losses at the fit and at the unconstrained optimum are compared
MOST_PRODUCTS = 5000  # of the conjugate gradients that solve for the closed form


def plain_result(
    layer: StencilPrecision, objective: Any, images: np.ndarray, history: dict[str, np.ndarray]
) -> FitResult:
    """The result of a fit that pursues the closed form of plain score matching.

    Its suboptimality is KL(p_θ* ‖ p_θ) in nats, θ* being that optimum; None where θ* has no density.
    """
    gaussian = LatticeGaussian(layer)
    optimum = closed_form(layer, images)
    if optimum is None:
        return FitResult(gaussian, None, None, UNDETERMINED, None, history)
    there = StencilPrecision(layer.connectivity, layer.weighting)
    there.build(images.shape)
    there.theta.assign(optimum)
    seed = seed_pair(0, "evidence")
    history |= {
        "optimum_min_eigenvalue": np.array(layer.operator(optimum).min_eigenvalue()),
        "loss_at_fit": np.array(objective.loss(layer, images[:EVIDENCE], seed)),
        "loss_at_optimum": np.array(objective.loss(there, images[:EVIDENCE], seed)),
    }
    if history["optimum_min_eigenvalue"] <= 0:
        return FitResult(gaussian, None, None, ON_BORDER, None, history)
    moments = expected_moments(layer, optimum)
    left = mean_log_likelihood(layer, moments, optimum) - mean_log_likelihood(layer, moments, double(layer))
    return FitResult(gaussian, None, None, status(layer, len(images), left), left, history)


def closed_form(layer: StencilPrecision, images: np.ndarray) -> np.ndarray | None:
    """The θ at which plain score matching is stationary, float64 [P], whether or not Λ(θ) is positive definite.

    The objective is ½ θᵀKθ − Σ_k θ_k tr(A_k) with K_kl = ½ tr(A_kA_lS + A_lA_kS) and S = E_data[xxᵀ], which is zero
    between weights that share no pixel. None where the images leave it undetermined.
    """
    near = near_second_moments(layer, chunks(images))
    upper, lower = weight_pixels(layer.connectivity, layer.height, layer.width)
    scale = np.where(upper == lower, 0.5, 1.0)

    def entries(k, l):  # noqa: E741  (K_kl)
        (i, j), (p, q) = (upper[k], lower[k]), (upper[l], lower[l])
        one = (j == p) * at(near, i, q) + (i == p) * at(near, j, q)
        return scale[k] * scale[l] * (one + (j == q) * at(near, i, p) + (i == q) * at(near, j, p))

    before, around = near_weights(layer.connectivity, layer.height, layer.width)
    curvature = near_matrix(around, entries)
    linear = pool(layer, np.where(upper == lower, 1.0, 0.0))
    if layer.shared:
        columns = [np.repeat(unit, layer.edge_counts) for unit in np.eye(len(layer.edge_counts))]
        matrix = np.stack([pool(layer, curvature.product(column)) for column in columns])
        theta, image = np.linalg.lstsq(matrix, linear, rcond=None)[0], matrix.__matmul__
    else:
        root, image = sparse_whitening(before, entries), curvature.product
        theta = root.transposed_product(
            conjugate_gradients(
                lambda phi: root.product(image(root.transposed_product(phi))), root.product(linear), 1e-9, MOST_PRODUCTS
            )
        )
    return theta if np.allclose(image(theta), linear, rtol=0, atol=1e-6 * np.abs(linear).max()) else None


def largest_eigenvalue_bound(layer: StencilPrecision) -> float:
    """Gershgorin's: no row of |Λ| sums to more than this."""
    couplings = np.abs(layer.couplings.numpy()).reshape(len(layer.offsets), -1)
    return float(np.max(layer.diagonal.numpy()) + 2 * couplings.max(axis=1).sum())
