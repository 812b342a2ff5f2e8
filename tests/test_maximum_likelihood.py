"""Fisher scoring against a published solution and against what makes a maximum."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_layer

from assignment.estimators.maximum_likelihood import MaximumLikelihood, fisher_scoring, mean_log_likelihood
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import covariance, expected_moments, pool_moments
from assignment.lattice.precision import StencilPrecision


def test_the_four_cycle():
    """Σ₀₂, Σ₁₃ and log det Λ of the maximum likelihood on the cycle 0-1-2-3 (a 2 × 2 lattice)."""
    moments = np.array([[10, 1, 5, 4], [1, 10, 2, 6], [5, 2, 10, 3], [4, 6, 3, 10.0]])
    order = [0, 1, 3, 2]  # row-by-row pixels of the cycle's corners
    layer = StencilPrecision(4, "per_edge", dtype="float64")
    layer.build((2, 2))
    fisher_scoring(layer, pool_moments(layer, moments[np.ix_(order, order)]), tolerance=1e-14)
    sigma = covariance(layer)
    np.testing.assert_allclose([sigma[0, 3], sigma[1, 2]], [1.3142, 0.8705], atol=5e-5)
    np.testing.assert_allclose(layer.operator().log_determinant(), -8.894907, atol=5e-7)


def test_the_maximum_matches_the_data_moments_from_another_start(layer):
    moments = expected_moments(layer)
    fitted = random_layer(layer.connectivity, layer.weighting, 5, 4, seed=8)
    history = fisher_scoring(fitted, moments, tolerance=1e-14)
    assert np.all(np.diff(history) > 0)
    np.testing.assert_allclose(fitted.theta, layer.theta, rtol=1e-6)
    assert fitted.operator().positive_definite()


def test_likelihood_from_moments_is_that_from_images(layer):
    x = LatticeGaussian(layer).sample(50, seed=1)
    moments = np.mean(layer.quadratic_moments(x), axis=0)
    np.testing.assert_allclose(mean_log_likelihood(layer, moments), -MaximumLikelihood().loss(layer, x), rtol=1e-12)


@pytest.mark.parametrize("weights", ["shared", "per_edge"])
def test_data_without_a_maximum_is_an_error(weights):
    """Neighbours that are always equal: the likelihood has no finite maximum."""
    layer = StencilPrecision(4, weights, dtype="float64")
    layer.build((2, 2))
    with pytest.raises(RuntimeError, match="did not converge"):
        fisher_scoring(layer, pool_moments(layer, np.ones([4, 4])))


@pytest.mark.slow
@pytest.mark.parametrize("connectivity", [4, 8])
def test_gradient_training_reaches_the_same_maximum(connectivity):
    from assignment.fit import fit

    truth = random_layer(connectivity, "shared", 8, 8)
    x = LatticeGaussian(truth).sample(4000, seed=2).numpy().astype(np.float32)
    exact = random_layer(connectivity, "shared", 8, 8, seed=5)
    moments = np.mean(exact.quadratic_moments(tf.cast(x, tf.float64)), axis=0)
    best = fisher_scoring(exact, moments)[-1]
    layer = StencilPrecision(connectivity, "shared")
    layer.build((8, 8))
    fit(layer, MaximumLikelihood(), x, epochs=20, batch_size=400)
    copy = random_layer(connectivity, "shared", 8, 8)
    copy.assign_theta(layer.theta.numpy())
    assert 0 <= best - mean_log_likelihood(copy, moments) < 0.01
