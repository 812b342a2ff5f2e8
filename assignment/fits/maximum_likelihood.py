"""Exact maximum likelihood: the yardstick that every other estimator is held against, not an answer to the exercise.

Newton's method, which is Fisher scoring here: θ ← θ + tF⁻¹(E_data[s] − E_θ[s]). F is never formed: each step is found
by conjugate gradients in whitened coordinates, where they need a handful of products with F (Nocedal & Wright,
Numerical Optimization, algorithm 7.1).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from assignment.fits.result import CONVERGED, FitResult, status
from assignment.fits.start import begin
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import double, information_product, mean_log_likelihood
from assignment.lattice.nearby import SparseRows
from assignment.lattice.precision import StencilPrecision
from assignment.training.loop import Progress
from assignment.training.whitening import whitening_matrix

# A step that promises less than this, in nats per image, is the last one; what is left is of the order of its square.
TOLERANCE = 1e-5
# A gain below this share of the likelihood cannot be seen in double precision.
ROUNDING = 1e-13
# Λ is singular to rounding where its least eigenvalue is below this share of its diagonal.
SINGULAR = 1e-13
NO_MAXIMUM = "too few images, or pixels that depend on each other"
MOST_STEPS, MOST_PRODUCTS, MOST_HALVINGS = 60, 200, 40
# Below so many nats one step of Newton's gains all that is left but for a few percent, and stays in the cone.
QUADRATIC = 0.03


def fit_maximum_likelihood(
    layer: StencilPrecision, images: Any, *, seed: int = 0, progress: Progress | None = None
) -> FitResult:
    """Fits Λ by maximum likelihood with the exact log Z.

    Args:
      layer: a built `StencilPrecision`; its weights are the start, and after the call the maximum.
      images: [N, H, W], mean subtracted, or what `load_images` returned.
      seed: not used, for nothing is drawn; all fits are called alike.
      progress: called as progress(step, None, words) after every step.

    Returns:
      A FitResult; `history` has `loss`, minus the mean log-likelihood at the start and after each step.

    Raises:
      ValueError, TypeError: bad arguments, such as pixels that no precision fits. RuntimeError: there is no maximum.
    """
    with begin(layer, images, seed) as (_, moments):
        theta, likelihoods = maximise(layer, moments, double(layer), progress)
        try:
            layer.assign_theta(theta)
        except ValueError as error:
            raise RuntimeError(f"the maximum is singular in {layer.theta.dtype}: {NO_MAXIMUM}") from error
        history = {"loss": -np.array(likelihoods)}
        return FitResult(LatticeGaussian(layer), None, None, CONVERGED, newton_step(layer, moments)[1], history)


def maximise(
    layer: StencilPrecision, moments: np.ndarray, theta: np.ndarray, progress: Progress | None = None
) -> tuple[np.ndarray, list[float]]:
    """The maximum of the likelihood of images with these average moments, from θ; the layer is left alone.

    Returns:
      (θ at the maximum, float64 [P]; the mean log-likelihoods at the start and after each step, nats per image).

    Raises:
      RuntimeError: the maximum was not reached, or there is none.
    """
    likelihoods = [mean_log_likelihood(layer, moments, theta)]
    for number in range(1, MOST_STEPS + 1):
        step, to_gain = newton_step(layer, moments, theta)
        if abs(to_gain) < ROUNDING * abs(likelihoods[-1]):
            break
        theta, likelihood = _backtrack(layer, moments, theta, step, likelihoods[-1])
        likelihoods.append(likelihood)
        if progress:
            progress(number, None, f"log-likelihood {likelihood:.6f} nats per image")
        if to_gain < TOLERANCE:
            break
    else:
        raise RuntimeError(
            f"maximum likelihood did not converge: {to_gain:.2g} nats per image still to gain after {MOST_STEPS} "
            f"steps; there may be no maximum: {NO_MAXIMUM}"
        )
    operator = layer.operator(theta)
    if not operator.min_eigenvalue() > SINGULAR * np.max(operator.diag_part()):
        raise RuntimeError(f"the likelihood has no maximum: {NO_MAXIMUM}")
    return theta, likelihoods


def likelihood_result(
    layer: StencilPrecision,
    moments: np.ndarray,
    image_count: int,
    history: dict[str, np.ndarray],
    log_partition: float | None = None,
) -> FitResult:
    """The result of a fit whose optimum is that of maximum likelihood, from the images' average moments [P]."""
    try:
        left = suboptimality(layer, moments)
        words = status(layer, image_count, left, "maximum likelihood")
    except RuntimeError:
        left, words = None, "not known to be the optimum: the likelihood of these images has no maximum that was found"
    return FitResult(LatticeGaussian(layer), log_partition, None, words, left, history)


def suboptimality(layer: StencilPrecision, moments: np.ndarray) -> float:
    """How far the layer's likelihood is below its maximum, in nats per image of those average moments; exact log Z.

    Raises:
      RuntimeError: there is no maximum.
    """
    theta, before = double(layer), mean_log_likelihood(layer, moments)
    step, to_gain = newton_step(layer, moments)
    if to_gain < QUADRATIC:
        gained = mean_log_likelihood(layer, moments, theta + step) - before
        return gained if gained > 0 else to_gain  # Rounding can hide a small gain, and make a singular Λ indefinite.
    return maximise(layer, moments, theta)[1][-1] - before


def newton_step(
    layer: StencilPrecision, moments: np.ndarray, theta: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """(F⁻¹δ, ½ δᵀF⁻¹δ) with δ = E_data[s] − E_θ[s]: Newton's step, and what it promises in nats per image.

    Args:
      moments: the data's average `quadratic_moments`, float64 [P].
      theta: where, [P]; the layer's weights where none are given.
    """
    theta = double(layer, theta)
    expected, whitening = whitening_matrix(layer, theta)
    right = whitening.product(0.5 * (expected - moments))
    step, spread = natural_gradient(layer, theta, expected, whitening, right)
    return step, 0.5 * spread**2


def natural_gradient(
    layer: StencilPrecision, theta: np.ndarray, expected: np.ndarray, whitening: SparseRows, right: np.ndarray
) -> tuple[np.ndarray, float]:
    """(F⁻¹g at θ, [P]; its spread √(gᵀF⁻¹g)) of a gradient g in the coordinates of the whitening W, `right` = Wg.

    `expected` are the `expected_moments` at θ, [P].

    The relative error is at most 0.1, or ‖Wg‖ where that is less: far from the optimum the step is not exact anyway.
    """

    def product(phi):  # `information_product` wants a direction of about one nat.
        length = np.linalg.norm(phi)
        direction = whitening.transposed_product(phi / length)
        return length * whitening.product(information_product(layer, theta, expected, direction))

    solution = conjugate_gradients(product, right, min(0.1, np.linalg.norm(right)))
    return whitening.transposed_product(solution), float(max(0.0, solution @ right)) ** 0.5


def conjugate_gradients(
    product: Callable[[np.ndarray], np.ndarray], right: np.ndarray, tolerance: float, most: int = MOST_PRODUCTS
) -> np.ndarray:
    """x with product(x) = `right` but for a residual of `tolerance` times the length of `right`, or after the most
    products; product is that of a symmetric positive definite matrix."""
    x, residual = np.zeros_like(right), right
    direction, square = residual, residual @ residual
    for _ in range(most):
        if np.sqrt(square) <= tolerance * np.linalg.norm(right):
            break
        image = product(direction)
        curvature = direction @ image
        if not curvature > 0:  # Rounding: F is singular to it at the border of the cone.
            break
        x = x + square / curvature * direction
        residual = residual - square / curvature * image
        square, before = residual @ residual, square
        direction = residual + square / before * direction
    return x


def _backtrack(layer, moments, theta, step, before):
    for halvings in range(MOST_HALVINGS):
        there = theta + 0.5**halvings * step
        after = mean_log_likelihood(layer, moments, there)
        if after > before:  # False for the NaN of an indefinite Λ.
            return there, after
    raise RuntimeError(
        "maximum likelihood did not converge: no step along Newton's direction raises the likelihood; there may be no "
        f"maximum: {NO_MAXIMUM}"
    )
