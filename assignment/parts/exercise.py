"""What every part shares: the data with the statistics that never change, the start, and the exact ceiling."""

import functools
import time
from dataclasses import dataclass

import numpy as np

from assignment.batches import second_moments
from assignment.checks import varying
from assignment.data import open_splits
from assignment.estimators.maximum_likelihood import fisher_scoring, mean_log_likelihood
from assignment.lattice.information import pool_moments
from assignment.lattice.precision import StencilPrecision


@dataclass(frozen=True)
class Settings:
    """What a user chooses on the command line; the names are those of the options."""

    dataset: str = "mnist"
    data_dir: str | None = None
    idx_dir: str | None = None
    connectivity: int = 4
    weights: str = "shared"
    optimizer: str = "adam"
    seed: int = 0
    output: str = "reports"
    noise: str = "both"
    noise_variance: str = "per_pixel"
    noise_scale: float = 1.0
    eta: float = 0.5
    epochs: int = 3
    coin_seed: int = 0
    log_partition: bool = False
    fresh: bool = False
    strategy: str = "none"


class Exercise:
    """A data set ready for fitting.

    Attributes:
      train, test: the preprocessed splits on disk, see `assignment.data.ImageStream`.
      second_moments, test_second_moments: E[xxᵀ] of either split, float64 [D, D]: all a Gaussian sees of the data.
      strategy: a `tf.distribute.Strategy` for the training, or None.
    """

    def __init__(self, settings, strategy=None):
        self.strategy = strategy
        self.train, self.test = open_splits(
            settings.dataset, seed=settings.seed, data_dir=settings.data_dir, idx_dir=settings.idx_dir
        )
        self.second_moments = second_moments(self.train)
        self.test_second_moments = second_moments(self.test)
        self.fallback = self.train.name != settings.dataset

    @property
    def size(self):
        """(H, W)."""
        return self.train.size

    def new_layer(self, connectivity, weights, dtype="float32"):
        """A diagonal Λ of the family matched to the data's variances: where every fit starts."""
        layer = StencilPrecision(connectivity, weights, dtype=dtype)
        layer.build((None, *self.size))
        pixels = layer.group_sizes[0]
        theta = np.zeros(layer.theta.shape)
        variances = self.moments(layer)[:pixels]
        varying(variances)
        theta[:pixels] = layer.pixels / pixels / variances
        layer.assign_theta(theta)
        return layer

    def moments(self, layer):
        """The training images' mean `quadratic_moments`, [P]."""
        return pool_moments(layer, self.second_moments)

    def held_out(self, layer, theta=None):
        """Mean log-likelihood of the test images in nats, with the exact log Z; of other weights where given."""
        exact = self.exact_copy(layer, theta)
        return mean_log_likelihood(exact, pool_moments(exact, self.test_second_moments))

    def exact_copy(self, layer, theta=None):
        """The same Λ in a float64 layer."""
        copy = StencilPrecision(layer.connectivity, layer.weighting, dtype="float64")
        copy.build((None, *self.size))
        copy.assign_theta(layer.theta.numpy() if theta is None else theta)
        return copy

    @functools.cache  # noqa: B019  (an Exercise lives as long as the program)
    def maximum_likelihood(self, connectivity, weights):
        """The exact maximum likelihood of a family: (float64 layer, history, seconds). Every fit is held against it."""
        layer = self.new_layer(connectivity, weights, dtype="float64")
        start = time.perf_counter()
        history = fisher_scoring(layer, self.moments(layer))
        return layer, history, time.perf_counter() - start
