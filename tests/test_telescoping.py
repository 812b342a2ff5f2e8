"""Telescoped NCE and bridges on lattices of known Λ: the estimates, their errors, and the constants that add up."""

import numpy as np
import pytest
from conftest import random_layer
from second_cases import covariance, fisher_information

from assignment.fits import bridges, telescoped_nce
from assignment.fits.bridges import bridge, diagonal_log_partition, log_partition_from_diagonal
from assignment.fits.telescoped_nce import Stages, fit_telescoped_nce
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import double, expected_moments, information_product
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.telescoped_nce import MovingNoise, TelescopedNCE
from assignment.training.step import Step
from assignment.training.whitening import whitening_matrix


def truth_and_images(weights, size, count, seed=0, connectivity=4):
    truth = random_layer(connectivity, weights, size, size, seed=7)
    return truth, LatticeGaussian(truth).sample_by_factor(count, seed=(seed, 99)).numpy().astype(np.float32)


def fit(truth, images, *arguments, **options):
    layer = StencilPrecision(truth.connectivity, truth.weighting).match_variances(images)
    return fit_telescoped_nce(layer, images, *arguments, **options)


def log_partition(layer, theta):
    return float(LatticeGaussian(layer.operator(np.asarray(theta, np.float64))).log_partition())


def squared_error(result, truth, count):
    """Of the weights, in units of the Cramér-Rao bound: N·(θ̂ − θ)ᵀF(θ̂ − θ)."""
    error = result.model.precision.theta.numpy() - truth.theta.numpy()
    length = np.linalg.norm(error) * 10
    return (
        count
        * length
        * (error @ information_product(truth, truth.theta.numpy(), expected_moments(truth), error / length))
    )


def error_of_c(result):
    """c − log Z(Λ̂) in its own standard errors."""
    return (result.log_partition - float(result.model.log_partition())) / result.standard_error


def test_bridge_error_bars_cover_the_truth():
    """80 bridges: their errors, in their own standard errors, have mean 0 and variance 1."""
    layer = random_layer(4, "shared", 6, 6, dtype="float32")
    lower = layer.theta.numpy()
    upper = lower * np.array([1.3, 1.2, 1.1], np.float32)
    exact = log_partition(layer, upper) - log_partition(layer, lower)
    links = [bridge(layer, lower, upper, (k, 0)) for k in range(80)]
    z = np.array([(link.difference - exact) / link.variance**0.5 for link in links])
    assert abs(z.mean()) < 4 / np.sqrt(80) and 0.6 < z.var() < 1.5
    assert links[0].spread > 0.5 and 0 < links[0].overlap < 1
    np.testing.assert_array_equal(layer.theta, lower)
    back = bridge(layer, upper, lower, (0, 0))
    assert abs(back.difference + exact) < 4.5 * back.variance**0.5
    link = bridge(layer, lower, lower, (0, 0))
    assert link.difference == 0 and link.spread == 0 and link.overlap == 1


def test_the_constant_of_any_fit(layer):
    """Bridges from a Λ's own diagonal find its log Z within their error bars, and leave it alone."""
    single = random_layer(layer.connectivity, layer.weighting, 5, 4, seed=4, dtype="float32")
    theta = single.theta.numpy()
    constant, error = log_partition_from_diagonal(single, seed=0)
    assert 0 < error < 0.1
    assert abs(constant - log_partition(single, theta)) < 4.5 * error
    np.testing.assert_array_equal(single.theta, theta)


@pytest.mark.slow
def test_the_constant_of_a_nearly_singular_precision(monkeypatch):
    """Its errors, in their own standard errors, have mean 0 and variance 1 also where λ_min is next to nothing."""
    monkeypatch.setattr(bridges, "STRAIGHT_ERROR", 0.1)
    z = []
    for least, seeds in ((1e-2, 9), (1e-4, 6), (1e-6, 3)):
        layer = random_layer(4, "per_edge", 5, 4, seed=4, dtype="float32", least=least)
        exact = log_partition(layer, layer.theta.numpy())
        found = np.array([log_partition_from_diagonal(layer, seed) for seed in range(seeds)])
        assert found[:, 1].max() < 0.3
        z = np.append(z, (found[:, 0] - exact) / found[:, 1])
    assert abs(z.mean()) < 4 / np.sqrt(18) and abs(np.mean(z**2) - 1) < 3 * np.sqrt(2 / 18)


def test_what_is_too_far_is_refused(monkeypatch):
    layer = random_layer(4, "per_edge", 5, 4, seed=4, dtype="float32", least=1e-4)
    monkeypatch.setattr(bridges, "MOST_BRIDGES", 4)
    with pytest.raises(ArithmeticError, match="out of reach of 4 bridges"):
        log_partition_from_diagonal(layer, 0)


@pytest.mark.parametrize(
    ("connectivity", "weights", "size", "optimizer"),
    [
        (4, "shared", 8, "adam"),
        pytest.param(4, "shared", 40, "sgd", marks=pytest.mark.slow),
        pytest.param(8, "shared", 8, "rmsprop", marks=pytest.mark.slow),
        pytest.param(4, "per_edge", 8, "sgd", marks=pytest.mark.slow),
        pytest.param(4, "per_edge", 14, "rmsprop", marks=pytest.mark.slow),
        pytest.param(8, "per_edge", 8, "adam", marks=pytest.mark.slow),
    ],
)
def test_recovery_within_standard_errors(connectivity, weights, size, optimizer):
    """At the last stage NCE's covariance is (1 + 1/νR) times the Cramér-Rao bound after R passes."""
    count, passes = {8: 6000, 14: 10_000, 40: 400}[size], 2  # many more images than weights
    truth, images = truth_and_images(weights, size, count, connectivity=connectivity)
    result = fit(truth, images, optimizer, passes=passes)
    freedom = len(truth.theta.numpy())
    assert squared_error(result, truth, count) / (1 + 1 / passes) < freedom + 6 * np.sqrt(2 * freedom)
    assert abs(error_of_c(result)) < 4.5 and result.standard_error < 0.12
    assert np.linalg.eigvalsh(result.model.precision.to_dense())[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("ratio", "repeats"), [(1.0, 20), (10.0, 12)])
def test_efficiency_the_variance_of_c_and_its_error_bars(ratio, repeats, monkeypatch):
    """Fits of as many draws of 8000 images, in one pass each, with noise ratio ν.

    The mean squared error of the weights over the Cramér-Rao bound is 1 + 1/ν, and N·Var(c) is (1 + 1/ν)·D/2, where c
    is held to the truth's log Z, without the variance of the bridges. The errors of c in the fit's own log Z, in its
    own standard errors, have mean 0 and variance 1.
    """
    monkeypatch.setattr(bridges, "STRAIGHT_ERROR", 0.05)  # Their error is known.
    errors, layer = [], StencilPrecision(4, "shared")
    for seed in range(repeats):
        truth, images = truth_and_images("shared", 8, 8000, seed)
        layer.match_variances(images)
        result = fit_telescoped_nce(layer, images, "sgd", noise_ratio=ratio, passes=1, seed=seed)
        squared = (result.log_partition - log_partition(truth, truth.theta.numpy())) ** 2
        errors.append([squared_error(result, truth, 8000), squared - result.standard_error**2, error_of_c(result)])
    (weights, constants, z), expected = np.array(errors).T, 1 + 1 / ratio
    # Means of 3·n and of n squares of normal numbers; a sum of k squares has a relative variance of 2/k.
    assert abs(np.mean(weights) / (3 * expected) - 1) < 3 * np.sqrt(2 / (3 * repeats))
    assert abs(8000 * np.mean(constants) / (expected * 64 / 2) - 1) < 3 * np.sqrt(2 / repeats)
    assert abs(np.mean(z)) < 4 / np.sqrt(repeats) and abs(np.mean(z**2) - 1) < 4 * np.sqrt(2 / repeats)
    assert np.mean(np.abs(z) < 1) >= 0.4 and np.mean(np.abs(z) < 2) >= 0.8


def test_the_same_seed_repeats_exactly_and_nothing_is_traced_again(monkeypatch):
    """Steps are traced once; bridges, which differ in their numbers of draws, not once each."""
    truth, images = truth_and_images("shared", 6, 500)
    made = []
    monkeypatch.setattr(telescoped_nce, "Step", lambda *arguments: made.append(Step(*arguments)) or made[-1])
    first, second = (fit(truth, images, passes=1, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.model.precision.theta, second.model.precision.theta)
    assert first.log_partition == second.log_partition
    assert [step.run.experimental_get_tracing_count() for step in made] == [1, 1]
    theta, counts = first.model.precision.theta.numpy(), []
    for k in range(5):
        bridge(first.model.precision, theta, theta * (1.01 + 0.01 * k), (0, k))
        counts.append(bridges._log_ratio_of_draws.experimental_get_tracing_count())
    assert counts[1:] == counts[:1] * 4


@pytest.mark.parametrize("weights", ["shared", "per_edge"])
def test_the_last_steps_are_natural_gradient_steps_within_the_cone(weights):
    """A step times F is (1 + ν)/ν times the gradient downhill. Too long a one is halved: Σ^½ΔΣ^½ is within −1 and 2."""
    layer = random_layer(4, weights, 4, 3, dtype="float32")
    theta, sigma, information = double(layer), covariance(layer), fisher_information(layer)
    stages = Stages(Step(layer, TelescopedNCE(MovingNoise(layer, 0.0), noise_ratio=3.0), "sgd"), seed=0)
    gradient = 0.01 * np.random.default_rng(0).standard_normal(len(theta))
    whitened = whitening_matrix(layer)[1].product(gradient)
    assert stages.natural_step(whitened, 1000)
    np.testing.assert_allclose(information @ (layer.theta.numpy() - theta), -4 / 3 * gradient, atol=1e-3)
    assert len(stages.thetas) == 2 and stages.variances[1] > 0
    layer.assign_theta(theta)
    stages.step.centre()
    assert not stages.natural_step(1e4 * whitened, 1000)
    changes = np.linalg.eigvals(sigma @ layer.operator(layer.theta.numpy() - theta).to_dense().numpy())
    assert -1 < changes.min() and changes.max() < 2 and (changes.min() < -0.5 or changes.max() > 1)


def test_a_long_natural_step_is_cut_to_what_can_be_bridged():
    """Of 5.9 nats of spread, 3 are made; the step counts as small only where sampling alone makes it so long."""
    layer = random_layer(4, "per_edge", 12, 12, dtype="float32")
    theta = double(layer)
    stages = Stages(Step(layer, TelescopedNCE(MovingNoise(layer, 0.0)), "sgd"), seed=0)
    # F⁻¹ of it makes Λ longer by 0.7, for Fθ is half the expected moments.
    gradient = stages.step.whitening.current.product(-0.5 * 0.35 * expected_moments(layer))
    for seen, small in ((10**6, False), (20, True)):
        layer.assign_theta(theta)
        stages.step.centre()
        assert stages.natural_step(gradient, seen) == small
        np.testing.assert_allclose(layer.theta.numpy() / theta, 1 + 3 / np.sqrt(72), atol=0.02)


def test_the_start_is_known_without_a_determinant(layer):
    with pytest.raises(ValueError, match="diagonal"):
        diagonal_log_partition(layer.operator())
    layer.assign(layer.diagonal, np.zeros(layer.couplings.shape))
    assert diagonal_log_partition(layer.operator()) == pytest.approx(
        float(LatticeGaussian(layer).log_partition()), rel=1e-12
    )
