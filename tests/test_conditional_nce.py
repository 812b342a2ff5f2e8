"""Conditional NCE: its definition, its two limits, and fits by it."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from second_cases import FAMILIES, diagonal_start, digits, images_like, lattice, maximum_likelihood

from assignment.batches import second_moments
from assignment.data import load_images
from assignment.estimators.conditional_nce import ConditionalNCE, cnce_loss, isotropic_noise, log_ratio
from assignment.estimators.following import CONVERGED, ON_BORDER, fit_conditional_nce, scan_epsilon
from assignment.estimators.maximum_likelihood import mean_log_likelihood
from assignment.estimators.score_matching import ScoreMatching
from assignment.fit import fit
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import covariance

SEED = (1, 2)
ALLOWED_GAP = 0.05  # Nats; sampling errors cost the per-edge maximum likelihood fit itself P/2N = 0.044 here.


@pytest.mark.parametrize("epsilon", [1e-3, 1.0, 100.0])
def test_flat_energy_gives_log_2_and_the_papers_2_log_2(epsilon):
    layer = lattice(dtype="float32")
    layer.theta.assign(tf.zeros_like(layer.theta))
    loss = float(ConditionalNCE(isotropic_noise(5, 4), epsilon).loss(layer, images_like(layer), SEED))
    assert loss == pytest.approx(math.log(2), rel=1e-6)
    assert 2 * loss == pytest.approx(2 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("matched", [False, True])
def test_log_ratio_is_that_of_the_joint_densities(matched):
    """G = log p_θ(x)p_n(x'|x) − log p_θ(x')p_n(x|x'), for x' on either side of x, whatever the mean."""
    layer = lattice()
    model = LatticeGaussian(layer, mean=tf.fill([5, 4], tf.constant(0.3, tf.float64)))
    noise = LatticeGaussian(layer if matched else lattice(seed=5))
    estimator = ConditionalNCE(noise, epsilon=0.7, noise_ratio=6)
    x, d = images_like(layer, 2), 0.7 * estimator.displacements(SEED)
    found = log_ratio(model, x, d)
    assert found.shape == [2, 2, 3]
    for side, sign in enumerate((1, -1)):
        for b in range(2):
            for j in range(3):
                other = x[b] + sign * d[j]
                there = model.log_prob(x[b]) + estimator.conditional(x[b]).log_prob(other)
                back = model.log_prob(other) + estimator.conditional(other).log_prob(x[b])
                np.testing.assert_allclose(found[side, b, j], there - back, rtol=1e-9, atol=1e-9)


def test_conditional_is_the_gaussian_it_says():
    layer, epsilon = lattice(), 0.3
    x = images_like(layer, 2)
    noise = ConditionalNCE(LatticeGaussian(layer), epsilon).conditional(x)
    dense = tfp.distributions.MultivariateNormalFullCovariance(tf.reshape(x, [2, 20]), epsilon**2 * covariance(layer))
    other = images_like(layer, 2, seed=4)
    np.testing.assert_allclose(noise.log_prob(other), dense.log_prob(tf.reshape(other, [2, 20])), rtol=1e-9)
    x, other = tf.cast(x, tf.float32), tf.cast(other, tf.float32)
    white = ConditionalNCE(isotropic_noise(5, 4), epsilon).conditional(x)
    normal = tfp.distributions.Independent(tfp.distributions.Normal(x, epsilon), 2)
    np.testing.assert_allclose(white.log_prob(other), normal.log_prob(other), rtol=1e-5)
    assert white.sample(3, seed=SEED).shape == [3, 2, 5, 4]


def test_displacements_have_the_noise_covariance():
    layer, draws = lattice(), 20_000
    d = ConditionalNCE(LatticeGaussian(layer), noise_ratio=2 * draws).displacements(SEED)
    sigma = covariance(layer)
    standard_error = np.sqrt((sigma**2 + np.outer(np.diag(sigma), np.diag(sigma))) / draws)
    assert np.abs((second_moments(d.numpy()) - sigma) / standard_error).max() < 5


@pytest.mark.parametrize("matched", [False, True])
def test_small_epsilon_is_score_matching(matched):
    """J = 2 log 2 + (ε²/2)E[Δf + ½‖∇f‖²] in the paper's factor 2; antithetic pairs leave a remainder of order ε⁴."""
    layer = lattice()
    x = images_like(layer)
    weight = covariance(layer) if matched else np.eye(20)
    # Displacements that have exactly the noise's second moments: √D times the columns of a root of M.
    design = np.sqrt(20) * np.linalg.cholesky(weight).T.reshape(20, 5, 4)
    limit = float(ScoreMatching(weight).loss(layer, x))
    remainders = []
    for epsilon in (0.02, 0.01, 0.005):
        paper = 2 * float(cnce_loss(log_ratio(layer, x, epsilon * design)))
        remainders.append(paper - 2 * math.log(2) - epsilon**2 / 2 * limit)
    orders = np.log2(np.divide(remainders[:-1], remainders[1:]))
    np.testing.assert_allclose(orders, 4, atol=0.15)


@pytest.mark.parametrize(("connectivity", "weights"), FAMILIES)
def test_gradient_against_finite_differences(connectivity, weights):
    layer = lattice(connectivity, weights)
    estimator = ConditionalNCE(LatticeGaussian(lattice(connectivity, weights, seed=9)), epsilon=0.4, noise_ratio=8)
    x, theta, step = images_like(layer), layer.theta.numpy(), 1e-5
    with tf.GradientTape() as tape:
        loss = estimator.loss(layer, x, SEED)
    gradient = tape.gradient(loss, layer.theta.value).numpy()
    for k in range(0, len(theta), 5):
        values = []
        for sign in (1, -1):
            layer.theta.assign(theta + sign * step * np.eye(len(theta))[k])
            values.append(float(estimator.loss(layer, x, SEED)))
        assert gradient[k] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6, abs=1e-9)


def test_matched_noise_is_a_constant_to_the_gradient():
    """Noise that is the model's own gives the gradient of the same noise held fixed."""
    layer = lattice()
    x, gradients = images_like(layer), []
    for noise in (layer, lattice()):
        with tf.GradientTape() as tape:
            loss = ConditionalNCE(LatticeGaussian(noise), 0.4).loss(layer, x, SEED)
        gradients.append(tape.gradient(loss, layer.theta.value))
    np.testing.assert_allclose(*gradients, rtol=1e-12)


@pytest.mark.parametrize("target", [0.1, 0.35, 0.6])
def test_epsilon_is_chosen_by_the_loss(target):
    layer = lattice(dtype="float32")
    x, estimator = images_like(layer, 50), ConditionalNCE(LatticeGaussian(layer))
    estimator.tune(layer, x, SEED, target)
    assert float(estimator.loss(layer, x, SEED)) == pytest.approx(target, rel=1e-4)


def test_bad_arguments():
    noise = isotropic_noise(5, 4)
    for epsilon in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="epsilon must be a positive number"):
            ConditionalNCE(noise, epsilon)
    for ratio in (0, 3):
        with pytest.raises(ValueError, match="noise_ratio must be an even number"):
            ConditionalNCE(noise, noise_ratio=ratio)
    for target in (0.0, 0.7):
        with pytest.raises(ValueError, match="target must be between 0 and log 2"):
            ConditionalNCE(noise).tune(lattice(dtype="float32"), tf.zeros([1, 5, 4]), SEED, target)
    with pytest.raises(ValueError, match="variant must be one of matched, isotropic"):
        fit_conditional_nce(lattice(dtype="float32"), np.ones([9, 5, 4], "f4"), "white")


@pytest.mark.parametrize(("weights", "optimizer"), [("shared", "sgd"), ("per_edge", "adam")])
def test_matched_fit_reaches_maximum_likelihood_on_digits(weights, optimizer):
    layer, moments = diagonal_start(4, weights, digits())
    positive = []

    def progress(*_):
        positive.append(bool(layer.operator().positive_definite()))

    result = fit_conditional_nce(layer, digits(), "matched", optimizer, steps=120, noise_ratio=128, progress=progress)
    assert result["status"] == CONVERGED
    assert all(positive) and len(positive) == len(result["loss"]) == len(result["epsilon"]) == 120
    gap = maximum_likelihood(4, weights, digits()) - mean_log_likelihood(layer, moments)
    assert 0 < gap < ALLOWED_GAP


def test_isotropic_fit_is_held_on_the_border_and_says_so():
    layer, _ = diagonal_start(4, "shared", digits())
    positive = []

    def progress(*_):
        positive.append(bool(layer.operator().positive_definite()))

    result = fit_conditional_nce(layer, digits(), "isotropic", steps=80, noise_ratio=64, progress=progress)
    assert all(positive)
    assert result["status"] == ON_BORDER
    assert result["optimum_min_eigenvalue"] < -3 < 0 < result["min_eigenvalue"] < 0.05
    assert result["loss_at_optimum"] < result["loss_at_fit"]


def test_scan_reports_loss_and_likelihood_by_epsilon():
    layer, _ = diagonal_start(4, "shared", digits())
    before = layer.theta.numpy()
    scan = scan_epsilon(layer, digits(), digits(), factors=(0.1, 1, 10), steps=6)
    assert all(values.shape == (3,) and np.isfinite(values).all() for values in scan.values())
    assert np.all(np.diff(scan["epsilon_loss"]) < 0)
    np.testing.assert_array_equal(layer.theta, before)


def test_scan_starts_even_on_the_border():
    train = load_images("mnist_sample").images
    layer, _ = diagonal_start(4, "shared", train)
    border = np.float32([41.94504928588867, -9.937217712402344, -11.158973693847656])  # F has no root for its rounding
    layer.assign_theta(border)
    scan = scan_epsilon(layer, train, train, "isotropic", factors=(1,), steps=6)
    assert np.isfinite(scan["epsilon_held_out"]).all()
    np.testing.assert_array_equal(layer.theta, border)


def test_it_trains_through_the_common_loop():
    layer, _ = diagonal_start(4, "shared", digits())
    estimator = ConditionalNCE(LatticeGaussian(layer), noise_ratio=32)
    history = fit(layer, estimator, digits(), epochs=1)
    assert set(history) == {"loss"} and np.isfinite(history["loss"]).all()
