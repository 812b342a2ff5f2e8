"""The optimum that conditional NCE and score matching pursue, and how far a fit is from it.

Matched and preconditioned, it is that of maximum likelihood. With isotropic noise or M = I it is, at ε → 0, the closed
form of plain score matching, which may lie outside the cone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from assignment.data.minibatches import chunks
from assignment.fits.maximum_likelihood import conjugate_gradients
from assignment.fits.result import NOT_CONVERGED, FitResult, status
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import at, double, expected_moments, mean_log_likelihood, near_second_moments, pool
from assignment.lattice.nearby import SparseRows, near_matrix, near_weights, sparse_whitening
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.stencil import weight_pixels
from assignment.seeds import seed_pair
from assignment.training.step import Step
from assignment.training.whitening import dense_whitening

ON_BORDER = "ended on the border of positive definiteness: the unconstrained optimum is not positive definite"
SHORT_OF_BORDER = f"{NOT_CONVERGED}: short of the border, and the unconstrained optimum is not positive definite"
UNDETERMINED = "not known to be the optimum: these images leave the unconstrained one undetermined"
EVIDENCE = 2048  # images on which the losses at the fit and at the unconstrained optimum are compared
MOST_PRODUCTS = 5000  # of the conjugate gradients that solve for the closed form
# The coordinates that K whitens are scaled so that the way from the start to the optimum has this length.
WAY = 5.0
TINY = 1e-9  # instead of a way of no length


class PlainOptimum:
    """The closed form of plain score matching on all images, which a step pursues.

    Where it is positive definite, the step's coordinates are whitened by the curvature K of that quadratic instead of
    the Fisher information: the way to the optimum is then straight, and takes as many steps however singular Λ is.

    Args:
      unit_loss: whether the step's loss is that of plain score matching, which has the unit of Λ.

    Attributes:
      theta: the optimum, float64 [P]; None where the images leave it undetermined.
      min_eigenvalue: of Λ there.
    """

    def __init__(self, step: Step, images: np.ndarray, unit_loss: bool = False) -> None:
        self.layer, self.images, self._unit = step.layer, images, None
        quadratic = plain_quadratic(self.layer, images)
        self.theta = closed_form(quadratic)
        self.min_eigenvalue = None if self.theta is None else float(self.layer.operator(self.theta).min_eigenvalue())
        if self.theta is not None and self.min_eigenvalue > 0:
            way = quadratic.whitening.product(quadratic.linear - quadratic.product(double(self.layer)))
            self._unit = max(np.linalg.norm(way), TINY) / WAY
            step.whitening.fixed = SparseRows(quadratic.whitening.places, quadratic.whitening.values * self._unit)
        if unit_loss:
            step.whitening.loss_unit = self.curvature()
        step.centre()

    def curvature(self) -> float:
        """About the largest eigenvalue of the Hessian of plain score matching in the step's coordinates."""
        return 2 * (self._unit**2 if self._unit else largest_eigenvalue_bound(self.layer))

    def result(self, objective: Any, history: dict[str, np.ndarray]) -> FitResult:
        """The FitResult. Its suboptimality is KL(p_θ* ‖ p_θ) in nats.

        There are no nats to an optimum θ* without a density: the status then has the losses at θ* and at the fit.
        """
        layer, gaussian = self.layer, LatticeGaussian(self.layer)
        if self.theta is None:
            return FitResult(gaussian, None, None, UNDETERMINED, None, history)
        there = StencilPrecision(layer.connectivity, layer.weighting)
        there.build(self.images.shape)
        there.theta.assign(self.theta)
        seed = seed_pair(0, "evidence")
        history |= {
            "optimum_min_eigenvalue": np.array(self.min_eigenvalue),
            "loss_at_fit": np.array(objective.loss(layer, self.images[:EVIDENCE], seed)),
            "loss_at_optimum": np.array(objective.loss(there, self.images[:EVIDENCE], seed)),
        }
        if self.min_eigenvalue <= 0:
            words = ON_BORDER if history["halvings"] > 0 else SHORT_OF_BORDER
            words += " (its loss is {loss_at_optimum:.4g}, that of the fit {loss_at_fit:.4g})".format(**history)
            return FitResult(gaussian, None, None, words, None, history)
        moments = expected_moments(layer, self.theta)
        left = mean_log_likelihood(layer, moments, self.theta) - mean_log_likelihood(layer, moments, double(layer))
        return FitResult(gaussian, None, None, status(layer, len(self.images), left, "its optimum"), left, history)


class Quadratic(NamedTuple):
    """Plain score matching's objective on all images, ½ θᵀKθ − bᵀθ.

    Attributes:
      product: that of K with a vector, [P] → [P]; linear: b, [P].
      whitening: a sparse W with W K Wᵀ ≈ I.
    """

    product: Callable[[np.ndarray], np.ndarray]
    linear: np.ndarray
    whitening: SparseRows


def plain_quadratic(layer: StencilPrecision, images: np.ndarray) -> Quadratic:
    """Plain score matching's objective on all images.

    K_kl = ½ tr(A_kA_lS + A_lA_kS) with S = E_data[xxᵀ], which is zero between weights that share no pixel, and
    b_k = tr(A_k).
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
    if not layer.shared:
        return Quadratic(curvature.product, linear, sparse_whitening(before, entries))
    columns = [np.repeat(unit, layer.edge_counts) for unit in np.eye(len(layer.edge_counts))]
    matrix = np.stack([pool(layer, curvature.product(column)) for column in columns])
    return Quadratic(matrix.__matmul__, linear, dense_whitening(layer, matrix))


def closed_form(quadratic: Quadratic) -> np.ndarray | None:
    """The θ at which it is stationary, float64 [P], whether or not Λ(θ) is positive definite.

    None where the images leave it undetermined.
    """
    product, linear, whitening = quadratic
    theta = whitening.transposed_product(
        conjugate_gradients(
            lambda phi: whitening.product(product(whitening.transposed_product(phi))),
            whitening.product(linear),
            1e-9,
            MOST_PRODUCTS,
        )
    )
    return theta if np.allclose(product(theta), linear, rtol=0, atol=1e-6 * np.abs(linear).max()) else None


def largest_eigenvalue_bound(layer: StencilPrecision) -> float:
    """Gershgorin's: no row of |Λ| sums to more than this."""
    couplings = np.abs(layer.couplings.numpy()).reshape(len(layer.offsets), -1)
    return float(np.max(layer.diagonal.numpy()) + 2 * couplings.max(axis=1).sum())
