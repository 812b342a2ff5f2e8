"""Exact maximum likelihood of per-edge weights: sparse, by conjugate gradients, and dense, with F as a matrix."""

import time

import numpy as np

from assignment.fits.maximum_likelihood import maximise
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import data_moments, double
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.stencil import weight_pixels

IMAGES = 2000
DIAGONAL, COUPLING, VARIATION = 4.2, -1.0, 0.03  # a lattice whose neighbours correlate strongly, as pixels do


def newton_seconds(way: str, side: int) -> dict[str, float]:
    """Seconds from the matched diagonal to the maximum, for the "dense" or the "sparse" way, on made-up images.

    Returns:
      A dict of `seconds`, `weights` (P) and `log_likelihood` in nats per image.
    """
    layer = StencilPrecision(4, "per_edge", dtype="float64")
    layer.build((None, side, side))
    theta = np.repeat([DIAGONAL, COUPLING, COUPLING], layer.group_sizes)
    layer.assign_theta(theta * (1 + VARIATION * np.random.default_rng(side).uniform(-1, 1, theta.shape)))
    images = LatticeGaussian(layer).sample_by_factor(IMAGES, seed=(0, side)).numpy().astype(np.float32)
    moments, start = data_moments(layer.match_variances(images), [images]), time.perf_counter()
    likelihood = dense(layer, moments) if way == "dense" else maximise(layer, moments, double(layer))[1][-1]
    return {"seconds": time.perf_counter() - start, "weights": len(moments), "log_likelihood": likelihood}


def dense(layer: StencilPrecision, moments: np.ndarray, tolerance: float = 1e-5) -> float:
    """The maximum of the likelihood by Newton's method with F and Σ as matrices."""
    upper, lower = weight_pixels(layer.connectivity, layer.height, layer.width)
    twice, scale = np.where(upper == lower, 1.0, 2.0), np.where(upper == lower, 0.5, 1.0)

    def likelihood(theta):
        operator = layer.operator(theta)
        constant = layer.pixels * np.log(2 * np.pi)
        determinant = np.linalg.slogdet(operator.to_dense().numpy())[1]
        return 0.5 * (determinant - theta @ moments - constant) if operator.positive_definite() else -np.inf

    theta = double(layer)
    while True:
        sigma = np.linalg.inv(layer.operator(theta).to_dense().numpy())
        gradient = 0.5 * (twice * sigma[upper, lower] - moments)
        product = sigma[np.ix_(upper, upper)] * sigma[np.ix_(lower, lower)]
        product += sigma[np.ix_(upper, lower)] * sigma[np.ix_(lower, upper)]
        step = np.linalg.solve(product * scale[:, None] * scale, gradient)
        before = likelihood(theta)
        while not likelihood(theta + step) > before - 1e-12:
            step = step / 2
        theta = theta + step
        if 0.5 * gradient @ step < tolerance:
            return float(likelihood(theta))
