"""Samples of a LatticeGaussian against their covariance's standard errors, and its float32 against float64."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conftest import random_layer

from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision

EXACT = dict(rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("draw", ["sample", "sample_by_factor"])
def test_samples_have_the_covariance_within_its_standard_errors(layer, draw):
    mean, count = np.random.default_rng(3).standard_normal((5, 4)), 40_000
    x = getattr(LatticeGaussian(layer, mean), draw)(count, seed=(1, 2)).numpy().reshape(count, 20)
    sigma = np.linalg.inv(layer.to_dense())
    spread = np.sqrt((sigma**2 + np.outer(np.diag(sigma), np.diag(sigma))) / count)
    z = (np.cov(x.T) - sigma) / spread
    assert np.abs(z).max() < 4.5 and 0.8 < z.std() < 1.2
    assert np.abs((x.mean(0) - mean.ravel()) / np.sqrt(np.diag(sigma) / count)).max() < 4.5


def test_sample_is_the_symmetric_root_applied_to_standard_normal_numbers():
    """x' = μ + Aε: with the same ε, the dense A = Λ^(−½) gives the same image."""
    layer = random_layer(8, "per_edge", 5, 4)
    gaussian = LatticeGaussian(layer)
    seed = tfp.random.sanitize_seed((5, 6))
    noise = tf.random.stateless_normal([3, 5, 4], seed, dtype=tf.float64).numpy().reshape(3, 20)
    values, vectors = np.linalg.eigh(layer.to_dense())
    expected = noise @ (vectors / np.sqrt(values)) @ vectors.T
    np.testing.assert_allclose(np.reshape(gaussian.sample(3, seed=seed), (3, 20)), expected, **EXACT)


def test_float32_is_within_its_rounding_at_28_by_28():
    precise = random_layer(4, "per_edge", 28, 28)
    single = StencilPrecision(4, "per_edge")
    single.build((28, 28))
    single.assign_theta(precise.theta.numpy())
    x = LatticeGaussian(precise).sample(20, seed=1)
    error = LatticeGaussian(single).log_prob(tf.cast(x, tf.float32)) - tf.cast(
        LatticeGaussian(precise).log_prob(x), tf.float32
    )
    assert np.abs(error).max() < 1e-4 * 784
