"""Conditional NCE: its definition, its two limits, and fits by it."""

import math

import numpy as np
import pytest
import second_cases as cases
import tensorflow as tf
from lattice_oracle import assert_gradient, covariance_errors
from second_cases import FAMILIES, covariance, digits, images_like, lattice

from assignment import ConditionalNCE, LatticeGaussian, ScoreMatching, fit, fit_conditional_nce
from assignment.fits.averaging import ON_BORDER
from assignment.fits.conditional_nce import TUNE_EVERY, scan_epsilon
from assignment.objectives.conditional_nce import TARGET, cnce_loss, isotropic_noise, log_ratio

SEED = (1, 2)
ALLOWED_GAP = 0.05  # Nats; sampling errors cost the per-edge maximum likelihood fit itself P/2N = 0.044 here.


@pytest.mark.parametrize("epsilon", [1e-3, 1.0, 100.0])
def test_flat_energy_gives_log_2_and_the_papers_2_log_2(epsilon):
    layer = lattice(dtype="float32")
    layer.theta.assign(tf.zeros_like(layer.theta))
    loss = float(ConditionalNCE(isotropic_noise(5, 4), epsilon).loss(layer, images_like(layer), SEED))
    assert loss == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("matched", [False, True])
def test_log_ratio_is_that_of_the_joint_densities(matched):
    """G = log p_θ(x)p_n(x'|x) − log p_θ(x')p_n(x|x'), for x' on either side of x, whatever the mean."""
    layer, epsilon = lattice(), 0.7
    model = LatticeGaussian(layer, mean=tf.fill([5, 4], tf.constant(0.3, tf.float64)))
    noise = LatticeGaussian(layer if matched else lattice(seed=5))
    objective = ConditionalNCE(noise, epsilon, noise_ratio=6)
    x, d = images_like(layer, 2), epsilon * objective.displacements(SEED)
    found = log_ratio(model, x, d)
    assert found.shape == [2, 2, 3]
    assert float(objective.loss(model, x, SEED)) == pytest.approx(np.mean(np.logaddexp(0, -found)), rel=1e-12)
    for side, sign in enumerate((1, -1)):
        for b in range(2):
            for j in range(3):
                other = x[b] + sign * d[j]
                # p_n(x'|x) = N(x, ε²Λ_n⁻¹)
                there, back = (noise.log_prob((u - v) / epsilon) for u, v in ((other, x[b]), (x[b], other)))
                expected = model.log_prob(x[b]) + there - model.log_prob(other) - back
                np.testing.assert_allclose(found[side, b, j], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("matched", [False, True])
def test_displacements_have_the_noise_covariance(matched):
    layer = lattice()
    noise = LatticeGaussian(layer) if matched else isotropic_noise(5, 4)
    d = ConditionalNCE(noise, noise_ratio=40_000).displacements(SEED)
    assert np.abs(covariance_errors(d, covariance(layer) if matched else np.eye(20))).max() < 5


@pytest.mark.parametrize("matched", [False, True])
def test_small_epsilon_is_score_matching(matched):
    """J = 2 log 2 + (ε²/2)E[Δf + ½‖∇f‖²] in the paper's factor 2; antithetic pairs leave a remainder of order ε⁴."""
    layer = lattice()
    x = images_like(layer)
    weight = covariance(layer) if matched else np.eye(20)
    # Displacements that have exactly the noise's second moments: √D times the columns of a root of M.
    design = np.sqrt(20) * np.linalg.cholesky(weight).T.reshape(20, 5, 4)
    if matched:
        curvature, linear = cases.score_matching_quadratic(layer, cases.second_moments(x), weight)
        limit = (0.5 * curvature @ layer.theta.numpy() - linear) @ layer.theta.numpy()
    else:
        limit = float(ScoreMatching().loss(layer, x))
    remainders = []
    for epsilon in (0.02, 0.01, 0.005):
        paper = 2 * float(cnce_loss(log_ratio(layer, x, epsilon * design)))
        remainders.append(paper - 2 * math.log(2) - epsilon**2 / 2 * limit)
    orders = np.log2(np.divide(remainders[:-1], remainders[1:]))
    np.testing.assert_allclose(orders, 4, atol=0.15)


@pytest.mark.parametrize(("connectivity", "weights"), FAMILIES)
def test_gradient_against_finite_differences(connectivity, weights):
    layer = lattice(connectivity, weights)
    objective = ConditionalNCE(LatticeGaussian(lattice(connectivity, weights, seed=9)), epsilon=0.4, noise_ratio=8)
    x = images_like(layer)
    gradient = cases.gradient(objective, layer, x)[1]
    assert_gradient(gradient, lambda: objective.loss(layer, x, SEED), layer.theta.value)


def test_matched_noise_is_a_constant_to_the_gradient():
    """Noise that is the model's own gives the gradient of the same noise held fixed."""
    layer = lattice()
    x = images_like(layer)
    gradients = [
        cases.gradient(ConditionalNCE(LatticeGaussian(noise), 0.4), layer, x)[1] for noise in (layer, lattice())
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-12)


def test_epsilon_is_chosen_by_the_loss():
    layer = lattice(dtype="float32")
    x, objective = images_like(layer, 50), ConditionalNCE(LatticeGaussian(layer))
    objective.tune(layer, x, SEED)
    assert float(objective.loss(layer, x, SEED)) == pytest.approx(TARGET, rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "optimizer"), [("shared", "sgd"), pytest.param("per_edge", "adam", marks=pytest.mark.slow)]
)
def test_matched_fit_reaches_maximum_likelihood_on_digits(weights, optimizer):
    layer = cases.start(4, weights, digits())
    result = cases.fit_digits(fit_conditional_nce, layer, optimizer, steps=90, noise_ratio=128)
    epsilon = result.history["epsilon"]
    assert result.status == "converged" and len(epsilon) == len(result.history["loss"]) >= 90
    assert np.all(np.diff(epsilon)[np.arange(1, len(epsilon)) % TUNE_EVERY > 0] == 0)
    gap = cases.best_likelihood(4, weights) - cases.likelihood(layer)
    assert 0 < gap < ALLOWED_GAP
    assert result.suboptimality == pytest.approx(gap, rel=0.2)  # ½δᵀF⁻¹δ, but for terms of third order
    assert result.log_partition is None and result.standard_error is None


@pytest.fixture(scope="module")
def border():
    """A fit with isotropic noise, whose optimum on digits is not positive definite."""
    layer = cases.start(4, "shared", digits())
    return layer, cases.fit_digits(fit_conditional_nce, layer, variant="isotropic", steps=80, noise_ratio=64)


def test_isotropic_fit_is_held_on_the_border_and_says_so(border):
    layer, result = border
    history = result.history
    assert result.status.startswith(ON_BORDER) and result.suboptimality is None
    assert history["optimum_min_eigenvalue"] < -3 < 0 < layer.operator().min_eigenvalue() < 0.05
    assert history["loss_at_optimum"] < history["loss_at_fit"]
    assert history["halvings"] > 0


def test_scan_reports_loss_and_likelihood_by_epsilon_and_leaves_the_layer(border):
    layer = border[0]
    before = layer.theta.numpy()
    scan = scan_epsilon(layer, digits(), digits(), "isotropic", steps=6)
    assert all(values.shape == (6,) and np.isfinite(values).all() for values in scan.values())
    assert scan["epsilon"][-1] / scan["epsilon"][0] == pytest.approx(32)
    assert np.all(np.diff(scan["epsilon_loss"]) < 0)
    assert np.all(scan["epsilon_held_out"] <= cases.best_likelihood(4, "shared") + 1e-6)
    np.testing.assert_array_equal(layer.theta, before)


@pytest.mark.slow
def test_scan_starts_even_on_the_border():
    train = cases.load_images("mnist_sample").images[:400]
    layer = cases.start(4, "shared", train)
    border = np.float32([41.94504928588867, -9.937217712402344, -11.158973693847656])  # F has no root for its rounding
    layer.assign_theta(border)
    scan = scan_epsilon(layer, train, train, "isotropic", steps=4)
    assert np.isfinite(scan["epsilon_held_out"]).all()
    np.testing.assert_array_equal(layer.theta, border)


def test_it_trains_through_the_common_loop():
    layer = cases.start(4, "shared", digits())
    before = cases.likelihood(layer)
    result = fit(layer, ConditionalNCE(LatticeGaussian(layer), noise_ratio=32), digits(), epochs=1)
    assert np.isfinite(result.history["loss"]).all() and result.log_partition is None
    assert cases.likelihood(layer) > before
