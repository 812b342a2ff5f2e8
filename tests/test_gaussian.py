"""LatticeGaussian against TFP's dense Gaussian, and its samples against their covariance's standard errors."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conftest import random_layer

from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision

tfd = tfp.distributions
EXACT = dict(rtol=1e-10, atol=1e-10)


def with_oracle(layer):
    mean = np.random.default_rng(3).standard_normal((5, 4))
    gaussian = LatticeGaussian(layer, mean=mean)
    oracle = tfd.MultivariateNormalFullCovariance(mean.ravel(), np.linalg.inv(layer.to_dense()))
    return gaussian, oracle


def test_score_is_the_gradient_of_the_log_density(layer):
    gaussian, _ = with_oracle(layer)
    x = tf.constant(np.random.default_rng(4).standard_normal((2, 5, 4)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = gaussian.log_prob(x)
    np.testing.assert_allclose(gaussian.score(x), tape.gradient(value, x), **EXACT)


@pytest.mark.parametrize("draw", ["sample", "sample_by_factor"])
def test_samples_have_the_covariance_within_its_standard_errors(layer, draw):
    gaussian, oracle = with_oracle(layer)
    count = 40_000
    x = getattr(gaussian, draw)(count, seed=(1, 2)).numpy().reshape(count, 20)
    sigma = oracle.covariance().numpy()
    spread = np.sqrt((sigma**2 + np.outer(np.diag(sigma), np.diag(sigma))) / count)
    z = (np.cov(x.T) - sigma) / spread
    assert np.abs(z).max() < 4.5 and 0.8 < z.std() < 1.2
    assert np.abs((x.mean(0) - oracle.mean()) / np.sqrt(np.diag(sigma) / count)).max() < 4.5


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
