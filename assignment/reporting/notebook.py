"""Figures of a fit for a notebook, where they show as the last value of a cell; no files are needed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from assignment.reporting.drawing import curves
from assignment.reporting.drawing import images as pictures

if TYPE_CHECKING:  # They import TensorFlow, which figures do not need.
    from assignment.data import Images
    from assignment.fits.result import FitResult

SHOWN = 16


def sample_figure(result: FitResult, images: Images, seed: int = 1) -> Figure:
    """Images of a split beside samples of the fit, both with the mean image added."""
    drawn = result.model.sample(SHOWN, seed=seed).numpy()
    return pictures.samples(images.images[:SHOWN] + images.mean, drawn + images.mean)


def weight_figure(result: FitResult) -> Figure:
    """Λ's weights: the stencil where they are shared, maps over the image where each edge has its own."""
    layer = result.model.precision
    return pictures.weights(layer.diagonal.numpy(), layer.couplings.numpy())


def log_partition_figure(result: FitResult) -> Figure:
    """The learned c beside the exact log Z: by stage of telescoped NCE, by step of NCE with a fixed noise.

    Against a fixed noise, the exact one is shown at the steps that `fit_nce` was asked to keep (`snapshots`).

    Raises:
      ValueError: log Z was not learned in training.
    """
    history = result.history
    if "log_partition" not in history:
        raise ValueError("result must be of a fit that learns log Z: of fit_nce or fit_telescoped_nce")
    if "stage_theta" in history:
        names = ("stage_log_partition", "stage_standard_error")
        return curves.log_partition_by_stage(*(history[n] for n in names), _exact(result, history["stage_theta"]))
    exact = _exact(result, history["snapshot_theta"])
    return curves.training(history["loss"], history["log_partition"], history["snapshot_step"], exact)


def _exact(result, thetas):
    """D/2 log 2π − ½ log det Λ of other weights θ, [n]."""
    layer = result.model.precision
    determinants = [float(layer.operator(np.float64(theta)).log_determinant()) for theta in thetas]
    return 0.5 * (layer.pixels * math.log(2 * math.pi) - np.array(determinants))
