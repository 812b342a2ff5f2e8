"""Exact maximum likelihood of per-edge weights: sparse, by conjugate gradients, and dense, with F as a matrix."""

import time

import numpy as np

from assignment.fits.maximum_likelihood import TOLERANCE, maximise
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import data_moments, double, mean_log_likelihood
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.stencil import weight_pixels
from assignment.training.whitening import whitening_matrix

IMAGES = 2000
DIAGONAL, COUPLING, CONTRAST = 4.05, -1.0, 1.0  # neighbours correlate strongly and differ in scale, as pixels do


def newton(way: str, side: int) -> dict[str, float]:
    """From the matched diagonal to the maximum, the "dense" or the "sparse" way, on made-up images.

    Returns:
      A dict of `seconds`, `weights` (P) and `log_likelihood` in nats per image. The dense way also has the condition
      numbers of F at the maximum, `condition`, and of W F Wᵀ with the sparse W that whitens it, `whitened_condition`.
    """
    layer = StencilPrecision(4, "per_edge", dtype="float64")
    layer.build((None, side, side))
    upper, lower = weight_pixels(layer.connectivity, side, side)
    scale = np.exp(CONTRAST * np.random.default_rng(side).uniform(-1, 1, layer.pixels))
    layer.assign_theta(np.where(upper == lower, DIAGONAL, COUPLING) * scale[upper] * scale[lower])
    images = LatticeGaussian(layer).sample_by_factor(IMAGES, seed=(0, side)).numpy().astype(np.float32)
    moments, start = data_moments(layer.match_variances(images), [images]), time.perf_counter()
    theta = dense(layer, moments) if way == "dense" else maximise(layer, moments, double(layer))[0]
    found = {"seconds": time.perf_counter() - start, "weights": len(moments)}
    found["log_likelihood"] = mean_log_likelihood(layer, moments, theta)
    return found | (_conditions(layer, theta) if way == "dense" else {})


def dense(layer: StencilPrecision, moments: np.ndarray) -> np.ndarray:
    """θ of the greatest likelihood, by Newton's method with F and Σ as matrices."""
    theta = double(layer)
    while True:
        expected, information = _information(layer, theta)
        gradient = 0.5 * (expected - moments)
        step = np.linalg.solve(information, gradient)
        before = mean_log_likelihood(layer, moments, theta)
        while not mean_log_likelihood(layer, moments, theta + step) > before - 1e-12:  # NaN: Λ is indefinite.
            step = step / 2
        theta = theta + step
        if 0.5 * gradient @ step < TOLERANCE:
            return theta


def _information(layer, theta):
    """(the expected moments [P], F [P, P]) from Σ as a matrix."""
    upper, lower = weight_pixels(layer.connectivity, layer.height, layer.width)
    scale = np.where(upper == lower, 0.5, 1.0)
    sigma = np.linalg.inv(layer.operator(theta).to_dense().numpy())
    product = sigma[np.ix_(upper, upper)] * sigma[np.ix_(lower, lower)]
    product += sigma[np.ix_(upper, lower)] * sigma[np.ix_(lower, upper)]
    return 2 * scale * sigma[upper, lower], product * scale[:, None] * scale


def _conditions(layer, theta):
    information, whitening = _information(layer, theta)[1], whitening_matrix(layer, theta)[1]
    half = np.array([whitening.product(column) for column in information])  # F Wᵀ
    whitened = np.array([whitening.product(column) for column in half.T])
    condition, after = (float(np.linalg.cond(matrix)) for matrix in (information, whitened))
    return {"condition": condition, "whitened_condition": after}
