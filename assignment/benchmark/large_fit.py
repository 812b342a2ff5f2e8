"""Telescoped NCE on made-up images of 256 × 256 pixels, against the truth they were drawn from."""

import time

import numpy as np

from assignment.estimators.telescoping import telescope
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import fisher_information
from assignment.lattice.precision import StencilPrecision

TRUTH = (3.0, -0.7, -0.6)
IMAGES = 400
CHUNK = 50  # images drawn at once


def recover(side, images=IMAGES, seed=0, progress=None):
    """Fits `images` draws of the lattice with weights TRUTH on side × side pixels.

    Returns:
      A dict: `truth`, `weights` and `standard_errors` (of a fit that averages over as many noise images as images), and
      `log_partition`, `exact` (of the fitted weights), `standard_error` in nats, and `seconds`.
    """
    layer = StencilPrecision(4, "shared")
    layer.build((None, side, side))
    layer.assign_theta(TRUTH)
    errors = np.sqrt(np.diag(np.linalg.inv(fisher_information(layer))) * 2 / images)
    draws = [
        LatticeGaussian(layer).sample_by_factor(min(CHUNK, images - k), seed=(seed, k)).numpy()
        for k in range(0, images, CHUNK)
    ]
    data = np.concatenate(draws)
    layer.assign_theta([1 / np.mean(data**2, dtype=np.float64), 0, 0])
    start = time.monotonic()
    stages, _ = telescope(layer, data, seed=seed, passes=1, progress=progress)
    exact = StencilPrecision(4, "shared", dtype="float64")
    exact.build((None, side, side))
    exact.assign_theta(layer.theta.numpy())
    return {
        "side": side,
        "images": images,
        "truth": list(TRUTH),
        "weights": layer.theta.numpy().tolist(),
        "standard_errors": errors.tolist(),
        "log_partition": stages[-1].log_partition,
        "standard_error": stages[-1].variance ** 0.5,
        "exact": float(LatticeGaussian(exact).log_partition()),
        "seconds": time.monotonic() - start,
    }
