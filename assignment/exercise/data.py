"""What every part shares: both splits of the data, and the exact likelihoods that fits are held against."""

from __future__ import annotations

import functools
import time

import numpy as np
import tensorflow as tf

from assignment import fit_maximum_likelihood
from assignment.data import load_splits
from assignment.data.minibatches import chunks
from assignment.exercise.settings import Settings
from assignment.fits.result import FitResult
from assignment.lattice.information import data_moments, mean_log_likelihood
from assignment.lattice.precision import StencilPrecision


class ExerciseData:
    """Both splits, and all that is exact about them, in float64.

    Args:
      settings: which data.
      strategy: a `tf.distribute.Strategy` for the training, or None.
    """

    def __init__(self, settings: Settings, strategy: tf.distribute.Strategy | None = None) -> None:
        self.strategy = strategy
        self.train, self.test = load_splits(**settings.of_data())

    def held_out(self, layer: StencilPrecision, theta: np.ndarray | None = None) -> float:
        """Mean log-likelihood of a test image in nats, of the layer's weights or of others."""
        return mean_log_likelihood(layer, self._test_moments(layer.connectivity, layer.weighting), theta)

    @functools.cache  # noqa: B019  (there is one of these in a program)
    def _test_moments(self, connectivity, weights):
        layer = StencilPrecision(connectivity, weights)
        layer.build(self.test.images.shape)
        return data_moments(layer, chunks(self.test.images))

    @functools.cache  # noqa: B019
    def maximum_likelihood(self, connectivity: int, weights: str) -> tuple[StencilPrecision, FitResult, float]:
        """The exact maximum likelihood of a family: (layer, result, seconds). Every fit is held against it."""
        layer = StencilPrecision(connectivity, weights, dtype="float64").match_variances(self.train.images)
        start = time.perf_counter()
        result = fit_maximum_likelihood(layer, self.train)
        return layer, result, time.perf_counter() - start

    @functools.cache  # noqa: B019
    def middle_covariance(self) -> np.ndarray:
        """Covariance of the middle pixel with every pixel, of the training images, [H, W]."""
        row, column = (n // 2 for n in self.train.mean.shape)
        parts = chunks(self.train.images)
        products = (np.einsum("n,nhw->hw", x[:, row, column], x, dtype=np.float64) for x in parts)
        return sum(products) / len(self.train.images)
