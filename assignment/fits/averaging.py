"""What conditional NCE and score matching share: averaged steps, and the optimum that they lead to.

The present fit renews the objective, and the steps are averaged. Matched and preconditioned, the optimum is that of
maximum likelihood. With isotropic noise or M = I it is, at ε → 0, the closed form of plain score matching, which may
lie outside the cone.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from assignment.checks import whole
from assignment.data.minibatches import chunks
from assignment.fits.maximum_likelihood import conjugate_gradients, likelihood_result
from assignment.fits.result import NOT_CONVERGED, FitResult, status
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import at, double, expected_moments, mean_log_likelihood, near_second_moments, pool
from assignment.lattice.nearby import SparseRows, near_matrix, near_weights, sparse_whitening
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.stencil import weight_pixels
from assignment.seeds import seed_pair
from assignment.training.loop import REACH, Callback, Progress, checked_batch_size, learning_rate, train
from assignment.training.step import Step
from assignment.training.whitening import dense_whitening

WHITEN_AFTER = 2.0  # New coordinates, whitened by the present fit, after so many nats of spread.
MOST_STEPS = 5000  # until the fit must have arrived
# So many steps in a row that had to be halved: the fit has come to the border of the cone; it will stay there.
AT_BORDER, PRESSED = 10, 30
ROUNDS = 3  # of averaged steps, while the fit is not converged
FEWEST_BATCHES = 8  # in a pass
SGD_SHARE = 0.2  # SGD's step as a share of Newton's.
ON_BORDER = "ended on the border of positive definiteness: the unconstrained optimum is not positive definite"
SHORT_OF_BORDER = f"{NOT_CONVERGED}: short of the border, and the unconstrained optimum is not positive definite"
UNDETERMINED = "not known to be the optimum: these images leave the unconstrained one undetermined"
EVIDENCE = 2048  # images on which the losses at the fit and at the unconstrained optimum are compared
MOST_PRODUCTS = 5000  # of the conjugate gradients that solve for the closed form
# The coordinates that K whitens are scaled so that the way from the start to the optimum has this length.
WAY = 5.0
TINY = 1e-9  # instead of a way of no length

Renew = Callable[[int, np.ndarray], float]


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
        there = LatticeGaussian(layer.operator(self.theta.astype(np.float32)))
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


class Averaging(Callback):
    """Steps of full length until the fit arrives, then shrinking ones, of which the last two thirds are averaged.

    The average of the iterates is that of Polyak & Juditsky (1992). The fit arrives where fresh images speak against
    the move before them for the first time, at the border of the cone, or after MOST_STEPS. A fit that stays at the
    border ends.

    Args:
      renew: renew(k, x) lets the objective follow the fit, before step k on images x [B, H, W], and returns the
        curvature of its loss: about the largest eigenvalue of its Hessian in whitened coordinates.
    """

    def __init__(self, step: Step, steps: int, renew: Renew) -> None:
        super().__init__(step, steps)
        self.renew, self.curvature = renew, 1.0
        self.total, self.averaged, self.arrived = 0.0, 0, None
        self.halvings = self.pressed = 0

    def before(self, k: int, x: np.ndarray) -> None:
        arrives = self.arrived is None and (self.step.slope > 0 or self.pressed > AT_BORDER or k == MOST_STEPS)
        moved = self.step.spread() > WHITEN_AFTER
        if arrives:
            self.arrived = k
        if moved:
            self.step.centre()
        if moved or arrives:
            self.step.forget()  # Adam would go on dividing by the large gradients from before, and hardly move.
        self.curvature = self.renew(k, x)

    def lengths(self, k: int) -> tuple[float, float]:
        left = 1.0 if self.arrived is None else 1 - (k - self.arrived) / self.steps
        return REACH * left, learning_rate(self.step, self.curvature / SGD_SHARE) * left

    def after(self, k: int, theta: np.ndarray, extra: np.ndarray) -> bool:
        before, self.halvings = self.halvings, int(self.step.halvings)
        self.pressed = self.pressed + 1 if self.halvings > before else 0
        since = -1 if self.arrived is None else k - self.arrived
        if since >= self.steps // 3:
            self.total, self.averaged = self.total + theta.astype(np.float64), self.averaged + 1
        return since + 1 == self.steps or self.pressed == PRESSED

    def end(self) -> None:
        """Leaves the layer at the average; at the last step where the fit has ended on the border."""
        if self.pressed == PRESSED:
            return
        # The cone is convex, but on its border rounding to float32 can leave it; the last step then stands.
        with suppress(ValueError):
            self.step.layer.assign_theta(self.total / self.averaged)


def fit_by_averaging(
    step: Step,
    images: np.ndarray,
    moments: np.ndarray,
    renew: Renew,
    optimum: PlainOptimum | None,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    progress: Progress | None,
) -> FitResult:
    """Averaged steps, again from where they ended while the fit is not converged, at most ROUNDS times.

    Args:
      moments: the images' average moments, [P].
      optimum: what the fit pursues; None where that is maximum likelihood.
      steps: how many, once the fit has arrived; batch_size: B, smaller where there are few images.
      The others are those of `Averaging` and `train`.
    """
    steps, batch_size = whole("steps", steps, least=4), checked_batch_size(batch_size, images, FEWEST_BATCHES)
    losses = []
    for _ in range(ROUNDS):
        done = len(losses)
        averaging = Averaging(step, steps, lambda k, x, done=done: renew(done + k, x))
        losses += train(
            step, images, averaging, steps=MOST_STEPS + steps, batch_size=batch_size, seed=seed, first=done,
            progress=progress,
        ).tolist()  # fmt: skip
        averaging.end()
        history = {"loss": np.array(losses), "halvings": step.halvings.numpy()}
        if optimum:
            ended = optimum.result(step.objective, history)
        else:
            ended = likelihood_result(step.layer, moments, len(images), history)
        if not ended.status.startswith(NOT_CONVERGED):
            break
        step.centre()
        step.forget()
    return ended
