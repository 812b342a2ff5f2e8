"""Telescoped NCE on lattices of known Λ: the estimates, their errors, and the constants that add up."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_layer

from assignment.batches import ArrayImages
from assignment.benchmark.large_fit import recover
from assignment.estimators import bridges
from assignment.estimators.bridges import bridge, bridge_from_diagonal, known_log_partition
from assignment.estimators.telescoping import Journey, MovingNoise, TelescopedNCE, telescope, whiten
from assignment.fit import Trainer
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import fisher_information
from assignment.lattice.precision import StencilPrecision


def truth_and_images(weights, size, count, seed=0, connectivity=4):
    truth = random_layer(connectivity, weights, size, size, seed=7)
    images = LatticeGaussian(truth).sample_by_factor(count, seed=(seed, 99)).numpy().astype(np.float32)
    return truth, images


def diagonal_start(connectivity, weights, images):
    layer = StencilPrecision(connectivity, weights)
    layer.build(images.shape)
    variance = np.mean(images**2) if weights == "shared" else np.mean(images**2, axis=0)
    layer.assign(1 / variance, np.zeros(layer.couplings.shape))
    return layer


def log_partition(layer, theta):
    copy = random_layer(layer.connectivity, layer.weighting, layer.height, layer.width)
    copy.assign_theta(theta)
    return float(LatticeGaussian(copy).log_partition())


def test_the_start_is_known_without_a_determinant(layer):
    with pytest.raises(ValueError, match="diagonal"):
        known_log_partition(layer)
    layer.assign(layer.diagonal, np.zeros(layer.couplings.shape))
    assert known_log_partition(layer) == pytest.approx(float(LatticeGaussian(layer).log_partition()), rel=1e-12)


def test_the_moving_noise_is_the_fit_it_followed():
    layer = random_layer(8, "per_edge", 5, 4, dtype="float32")
    start = float(LatticeGaussian(layer).log_partition())
    noise = MovingNoise(layer, start)
    x = tf.constant(np.random.default_rng(0).standard_normal((6, 5, 4)), tf.float32)
    np.testing.assert_allclose(noise.log_prob(x), LatticeGaussian(layer).log_prob(x), rtol=1e-4, atol=1e-4)
    estimator = TelescopedNCE(noise)
    np.testing.assert_allclose(estimator.log_ratio(LatticeGaussian(layer), x), np.zeros(6))
    old = layer.theta.numpy()
    layer.assign_theta(old * 1.5)
    expected = -0.5 * np.tensordot(layer.quadratic_moments(x), 0.5 * old, 1)
    np.testing.assert_allclose(estimator.log_ratio(LatticeGaussian(layer), x), expected, rtol=1e-3, atol=1e-4)
    noise.follow(start)
    draws = noise.sample(50_000, seed=tf.constant([1, 2])).numpy().reshape(-1, 20)
    sigma = np.linalg.inv(layer.to_dense().numpy())
    error = np.sqrt((sigma**2 + np.outer(np.diag(sigma), np.diag(sigma))) / 50_000)
    assert np.abs((np.cov(draws.T) - sigma) / error).max() < 4.5


def test_bridge_error_bars_cover_the_truth():
    """80 bridges: their errors, in their own standard errors, have mean 0 and variance 1."""
    layer = random_layer(4, "shared", 6, 6, dtype="float32")
    lower = layer.theta.numpy()
    upper = lower * np.array([1.3, 1.2, 1.1], np.float32)
    exact = log_partition(layer, upper) - log_partition(layer, lower)
    links = [bridge(layer, lower, upper, (k, 0)) for k in range(80)]
    z = np.array([(link.difference - exact) / link.variance**0.5 for link in links])
    assert abs(z.mean()) < 4 / np.sqrt(80) and 0.6 < z.var() < 1.6
    assert links[0].spread > 0.5 and 0 < links[0].overlap < 1
    np.testing.assert_array_equal(layer.theta, lower)


def test_the_constant_of_any_fit(layer):
    """Bridges from a Λ's own diagonal find its log Z within their error bars, and leave it alone."""
    single = random_layer(layer.connectivity, layer.weighting, 5, 4, seed=4, dtype="float32")
    theta = single.theta.numpy()
    constant, variance = bridge_from_diagonal(single, seed=0)
    assert 0 < variance**0.5 < 0.1
    assert abs(constant - log_partition(single, theta)) < 4.5 * variance**0.5
    np.testing.assert_array_equal(single.theta, theta)


def test_a_bridge_from_a_gaussian_to_itself_is_free():
    layer = random_layer(4, "shared", 6, 6, dtype="float32")
    link = bridge(layer, layer.theta.numpy(), layer.theta.numpy(), (0, 0))
    assert link.difference == 0 and link.spread == 0 and link.overlap == 1


@pytest.mark.parametrize(
    ("connectivity", "weights", "size", "optimizer"),
    [
        (4, "shared", 8, "adam"),
        (4, "shared", 8, "rmsprop"),
        (4, "per_edge", 8, "adam"),
        (4, "per_edge", 8, "sgd"),
        (4, "shared", 28, "sgd"),
        (8, "shared", 8, "sgd"),
        (8, "per_edge", 8, "adam"),
        (8, "per_edge", 8, "rmsprop"),
        pytest.param(4, "per_edge", 28, "rmsprop", marks=pytest.mark.slow),
    ],
)
def test_recovery_within_standard_errors(connectivity, weights, size, optimizer):
    """At the last stage NCE's covariance is (1 + 1/νR) times the Cramér-Rao bound after R passes (mathematics)."""
    # Many more images than weights, and steps enough to forget the way to the fit.
    count, passes = 6000 if size == 8 or weights == "shared" else 40_000, 2
    truth, images = truth_and_images(weights, size, count, connectivity=connectivity)
    layer = diagonal_start(connectivity, weights, images)
    stages, _ = telescope(layer, images, optimizer, passes=passes)
    information = fisher_information(truth)
    error = layer.theta.numpy() - truth.theta.numpy()
    squared = error @ information @ error * count / (1 + 1 / passes)
    freedom = len(error)
    assert squared < freedom + 6 * np.sqrt(2 * freedom)
    learned, variance = stages[-1].log_partition, stages[-1].variance
    assert abs(learned - log_partition(layer, layer.theta.numpy())) < 4.5 * variance**0.5
    assert np.linalg.eigvalsh(layer.to_dense())[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1.0, 10.0])
def test_efficiency_and_the_variance_of_c(ratio, monkeypatch):
    """One pass: mean squared error over the Cramér-Rao bound is 1 + 1/ν, and N·Var(c) is (1 + 1/ν)·D/2."""
    monkeypatch.setattr(bridges, "SAMPLES_PER_NAT", 2000)  # Their error is known, and taken off below.
    size, count, repeats = 8, 8000, 20
    squared, constants = [], []
    for seed in range(repeats):
        truth, images = truth_and_images("shared", size, count, seed)
        layer = diagonal_start(4, "shared", images)
        stages, _ = telescope(layer, images, "sgd", noise_ratio=ratio, passes=1, seed=seed)
        error = layer.theta.numpy() - truth.theta.numpy()
        squared.append(error @ fisher_information(truth) @ error * count / len(error))
        constant = stages[-1].log_partition - log_partition(truth, truth.theta.numpy())
        constants.append(constant**2 - stages[-1].variance)
    expected = 1 + 1 / ratio
    # Means of 3·20 and of 20 squares of normal numbers; a sum of k squares has a relative variance of 2/k.
    assert abs(np.mean(squared) / expected - 1) < 3 * np.sqrt(2 / (3 * repeats))
    assert abs(count * np.mean(constants) / (expected * size**2 / 2) - 1) < 3 * np.sqrt(2 / repeats)


@pytest.mark.slow
def test_error_bars_of_whole_fits_cover_the_truth(monkeypatch):
    """20 fits from 20 seeds: c − log Z(Λ̂) in its own standard errors has variance 1."""
    monkeypatch.setattr(bridges, "SAMPLES_PER_NAT", 2000)
    z = []
    for seed in range(20):
        _, images = truth_and_images("shared", 8, 1500, seed)
        layer = diagonal_start(4, "shared", images)
        stages, _ = telescope(layer, images, passes=1, seed=seed)
        z.append((stages[-1].log_partition - log_partition(layer, layer.theta.numpy())) / stages[-1].variance ** 0.5)
    assert abs(np.mean(z)) < 4 / np.sqrt(20)
    assert 0.3 < np.var(z) < 2.2
    assert sum(abs(value) < 1 for value in z) >= 8 and sum(abs(value) < 2 for value in z) >= 16


def test_the_same_seed_repeats_exactly():
    _, images = truth_and_images("shared", 6, 500)
    thetas = []
    for seed in (3, 3):
        layer = diagonal_start(4, "shared", images)
        stages, _ = telescope(layer, images, passes=1, seed=seed)
        thetas.append(np.append(layer.theta.numpy(), stages[-1].log_partition))
    np.testing.assert_array_equal(*thetas)


def test_the_centre_of_whitening_is_the_expectation_of_s():
    """c moves with θ along the tangent of log Z, so that the classifier starts without an offset."""
    layer = random_layer(4, "per_edge", 5, 4, dtype="float32")
    trainer = Trainer(layer, TelescopedNCE(MovingNoise(layer, 0.0)), "sgd")
    whiten(trainer)
    x = LatticeGaussian(layer).sample(40_000, seed=1)
    s = -0.5 * layer.quadratic_moments(x).numpy()
    assert np.abs((s.mean(0) - trainer.mean) / (s.std(0) / 200)).max() < 4.5


def test_nothing_is_traced_again_in_a_loop():
    """Steps are traced once; bridges, which differ in their numbers of draws, not once each."""
    _, images = truth_and_images("shared", 6, 1000)
    layer = diagonal_start(4, "shared", images)
    journey = Journey(layer, "adam", 1.0, 10, 0, None)
    for _, x in zip(range(30), ArrayImages(images).minibatches(20, 0), strict=False):
        journey.step(x)
    assert journey.trainer._step.experimental_get_tracing_count() == 1
    before, draws = layer.theta.numpy(), bridges._log_ratio_of_draws
    counts = []
    for k in range(5):
        bridge(layer, before, before * (1.01 + 0.01 * k), (0, k))
        counts.append(draws.experimental_get_tracing_count())
    assert counts[1:] == counts[:1] * 4


@pytest.mark.slow
def test_a_large_lattice_is_recovered_within_its_error_bars():
    fit = recover(64, images=200)
    errors = (np.array(fit["weights"]) - fit["truth"]) / fit["standard_errors"]
    assert np.abs(errors).max() < 4
    assert abs(fit["log_partition"] - fit["exact"]) < 4 * fit["standard_error"] < 1
