"""Figures of a fit for a notebook, where they show as the last value of a cell; no files are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from assignment.reporting.drawing import curves
from assignment.reporting.drawing import images as pictures

if TYPE_CHECKING:  # They import TensorFlow, which figures do not need.
    from assignment.data import Images
    from assignment.fits.result import FitResult


def sample_figure(result: FitResult, images: Images, seed: int = 1) -> Figure:
    """Images of a split beside samples of the fit, both with the mean image added."""
    samples = result.model.sample(16, seed=seed).numpy()
    return pictures.samples(images.images[:16] + images.mean, samples + images.mean)


def weight_figure(result: FitResult) -> Figure:
    """Λ's weights: the stencil where they are shared, maps over the image where each edge has its own."""
    layer = result.model.precision
    return pictures.weights(layer.diagonal.numpy(), layer.couplings.numpy())


def log_partition_figure(result: FitResult) -> Figure:
    """The constant c of telescoped NCE by stage, beside the exact log Z = D/2 log 2π − ½ log det Λ of the stage's Λ.

    Raises:
      ValueError: the fit had no stages.
    """
    layer, history = result.model.precision, result.history
    if "stage_theta" not in history:
        raise ValueError("result must be of a fit that learns log Z by stages: of fit_telescoped_nce")
    determinants = [layer.operator(theta).log_determinant() for theta in np.float64(history["stage_theta"])]
    exact = 0.5 * (layer.pixels * np.log(2 * np.pi) - np.array(determinants))
    return curves.log_partition_by_stage(history["stage_log_partition"], history["stage_standard_error"], exact)
