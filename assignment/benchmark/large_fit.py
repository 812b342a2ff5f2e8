"""Telescoped NCE on made-up images of 256 × 256 pixels, against the truth they were drawn from."""

import time
from typing import Any

import numpy as np

from assignment.fits.telescoped_nce import fit_telescoped_nce
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import double, shared_information
from assignment.lattice.precision import StencilPrecision
from assignment.training.loop import Progress

TRUTH = (3.0, -0.7, -0.6)
IMAGES = 400
CHUNK = 50  # images drawn at once


def recover(side: int, progress: Progress | None = None, images: int = IMAGES, seed: int = 0) -> dict[str, Any]:
    """Fits `images` draws of the lattice with weights TRUTH on side × side pixels.

    Returns:
      A dict: `truth`, `weights` and `standard_errors` (of a fit that averages over as many noise images as images), and
      `log_partition`, `exact` (of the fitted weights), `standard_error` in nats, and `seconds`.
    """
    layer = StencilPrecision(4, "shared")
    layer.build((None, side, side))
    layer.assign_theta(TRUTH)
    errors = np.sqrt(np.diag(np.linalg.inv(shared_information(layer)[1])) * 2 / images)
    draws = [
        LatticeGaussian(layer).sample_by_factor(min(CHUNK, images - k), seed=(seed, k)).numpy()
        for k in range(0, images, CHUNK)
    ]
    data = np.concatenate(draws)
    layer.match_variances(data)
    start = time.monotonic()
    result = fit_telescoped_nce(layer, data, seed=seed, passes=1, progress=progress)
    return {
        "side": side,
        "images": images,
        "truth": list(TRUTH),
        "weights": layer.theta.numpy().tolist(),
        "standard_errors": errors.tolist(),
        "log_partition": result.log_partition,
        "standard_error": result.standard_error,
        "exact": float(LatticeGaussian(layer.operator(double(layer))).log_partition()),
        "seconds": time.monotonic() - start,
    }
