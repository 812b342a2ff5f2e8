"""Score matching: its definition, its closed form, its efficiency, and fits by it."""

import numpy as np
import pytest
import second_cases as cases
import tensorflow as tf
from second_cases import FAMILIES, covariance, digits, fisher_information, images_like, lattice, second_moments

from assignment import LatticeGaussian, ScoreMatching, StencilPrecision, fit_maximum_likelihood, fit_score_matching
from assignment.fits.averaging import ON_BORDER, UNDETERMINED, PlainOptimum, closed_form, plain_quadratic
from assignment.lattice.sine import sine_transform, symbols
from assignment.lattice.stencil import OFFSETS
from assignment.training.step import Step


def test_loss_is_hyvarinens_laplacian_and_squared_gradient():
    """E[Δf + ½‖∇f‖²], both by automatic differentiation of f_θ."""
    layer = lattice()
    model, x = LatticeGaussian(layer, mean=tf.fill([5, 4], tf.constant(0.3, tf.float64))), images_like(layer)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            energy = model.unnormalized_log_prob(x)
        gradient = inner.gradient(energy, x)
    hessian = tf.reshape(outer.batch_jacobian(gradient, x), [-1, 20, 20])
    expected = tf.linalg.trace(hessian) + 0.5 * tf.reduce_sum(gradient**2, axis=[1, 2])
    assert float(ScoreMatching().loss(model, x)) == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-12)


@pytest.mark.parametrize(("connectivity", "weights"), FAMILIES)
def test_plain_gradient_and_closed_form_are_those_of_the_dense_quadratic(connectivity, weights):
    layer = lattice(connectivity, weights)
    x = images_like(layer, 200)
    curvature, linear = cases.score_matching_quadratic(layer, second_moments(x), np.eye(20))
    loss, gradient = cases.gradient(ScoreMatching(), layer, x)
    theta = layer.theta.numpy()
    assert loss == pytest.approx(theta @ (0.5 * curvature @ theta - linear), rel=1e-12)
    np.testing.assert_allclose(gradient, curvature @ theta - linear, rtol=1e-9, atol=1e-9)
    found = closed_form(plain_quadratic(layer, x.numpy().astype(np.float32)))
    np.testing.assert_allclose(found, np.linalg.solve(curvature, linear), rtol=1e-5)  # of float32 images


@pytest.mark.parametrize(("connectivity", "weights"), FAMILIES)
def test_preconditioned_is_the_dense_quadratic_with_its_covariance(connectivity, weights):
    """M, held as a factor and its entries in float32, against dense Σ; also after it has moved to another Gaussian."""
    layer = lattice(connectivity, weights, dtype="float32")
    x, theta = images_like(layer, 50), layer.theta.numpy().astype(np.float64)
    others = [LatticeGaussian(lattice(connectivity, weights, dtype="float32", seed=seed)) for seed in (5, 6)]
    objective = ScoreMatching(others[0])
    for other in others:
        objective.move(other)
        curvature, linear = cases.score_matching_quadratic(layer, second_moments(x), covariance(other.precision))
        loss, gradient = cases.gradient(objective, layer, x)
        half = theta @ curvature @ theta / 2
        # Sums of 20 or so products of float32.
        assert loss == pytest.approx(half - linear @ theta, abs=1e-5 * half)
        np.testing.assert_allclose(gradient, curvature @ theta - linear, atol=1e-5 * np.abs(linear).max())


def test_images_that_leave_the_closed_form_undetermined_have_none():
    """Two images of 20 pixels are fewer equations than the 51 per-edge weights, but enough for shared ones."""
    x = images_like(lattice(), 2).numpy().astype(np.float32)
    for weights, determined in (("shared", True), ("per_edge", False)):
        layer = cases.start(4, weights, x)
        curvature = cases.score_matching_quadratic(layer, second_moments(x), np.eye(20))[0]
        assert (np.linalg.matrix_rank(curvature) == len(curvature)) == determined
        assert (closed_form(plain_quadratic(layer, x)) is not None) == determined
        objective = ScoreMatching()
        optimum = PlainOptimum(Step(layer, objective, "adam"), x)
        result = optimum.result(objective, {"loss": np.zeros(1), "halvings": 0})
        assert (result.status == UNDETERMINED) == (not determined)
        if not determined:
            assert result.suboptimality is None and set(result.history) == {"loss", "halvings"}


@pytest.mark.parametrize(("connectivity", "weights"), [(4, "shared"), (8, "shared"), (4, "per_edge")])
def test_preconditioned_gradient_vanishes_at_the_maximum_likelihood_fit_to_all_images(connectivity, weights):
    layer = cases.start(connectivity, weights, digits())
    objective = ScoreMatching(LatticeGaussian(layer))
    at_start = cases.gradient(objective, layer, digits())[1]
    fit_maximum_likelihood(layer, digits())
    objective.move(LatticeGaussian(layer))
    gradient = cases.gradient(objective, layer, digits())[1]
    # In units of the sampling error of the images: s has the covariance F, and the gradient of one image about 4F.
    error = np.sqrt(np.diag(fisher_information(layer)) / len(digits()))
    assert np.abs(gradient / error).max() < 0.01 < np.abs(at_start / error).max()


def test_constant_diagonal_is_besags_pseudo_likelihood():
    """With Λ_ii = a, −log Π p(x_i | rest) = ‖Λx‖²/2a − (D/2) log a per image: the same optimum as ½‖Λx‖² − Da."""
    layer = lattice(8, "shared")
    x = images_like(layer, 300)
    layer.assign_theta(closed_form(plain_quadratic(layer, x.numpy())))
    with tf.GradientTape() as tape:
        precision = layer.to_dense()
        variance = 1 / tf.linalg.diag_part(precision)
        flat = tf.reshape(x, [-1, 20])
        regression = flat - variance * (flat @ precision)  # E[x_i | rest] = −Σ_j≠i Λ_ij x_j / Λ_ii.
        log_density = -0.5 * (flat - regression) ** 2 / variance - 0.5 * tf.math.log(2 * np.pi * variance)
        loss = -tf.reduce_mean(tf.reduce_sum(log_density, axis=-1))
    np.testing.assert_allclose(tape.gradient(loss, layer.theta.value), 0, atol=1e-10)


@pytest.mark.parametrize(
    ("diagonal", "expected"), [(4.1, (0.874, 0.775)), (4.5, (0.935, 0.828)), (6.0, (0.984, 0.912))]
)
def test_efficiency_on_homogeneous_lattices(diagonal, expected):
    """The Cramér–Rao bound over the variance of repeated closed-form fits: published for M = I, 1 for M = Σ."""
    images, repeats = 20, 8000
    symbol = symbols(28, 28, OFFSETS[4])
    theta = np.array([diagonal, -1, -1])
    eigenvalues = np.tensordot(theta, symbol, axes=1)
    random = np.random.default_rng(0)
    # Images are white noise over √λ in the sine basis, and all that the closed form sees of them is their mean power.
    power = random.chisquare(images, [repeats, 28, 28]) / images / eigenvalues
    information = 0.5 * np.einsum("khw,lhw,hw->kl", symbol, symbol, eigenvalues**-2)
    bound = np.diag(np.linalg.inv(information)) / images
    tolerance = 4 * np.sqrt(2 / repeats)  # The relative standard error of a variance, times 4.
    for weight, efficiency in ((np.ones([28, 28]), np.array([*expected, expected[1]])), (1 / eigenvalues, np.ones(3))):
        fits = closed_forms_in_the_sine_basis(power, weight)
        assert np.abs((fits.mean(axis=0) - theta) / (fits.std(axis=0) / np.sqrt(repeats))).max() < 5
        np.testing.assert_allclose(bound / np.mean((fits - theta) ** 2, axis=0), efficiency, rtol=tolerance)


def closed_forms_in_the_sine_basis(power, weight):
    """The closed forms of many data sets [R, H, W] at once, for shared weights and 4 neighbours; see the test of it."""
    symbol = symbols(*weight.shape, OFFSETS[4])
    products = np.einsum("khw,lhw,hw->hwkl", symbol, symbol, weight)
    curvature = np.tensordot(power, products, axes=2)
    return np.linalg.solve(curvature, np.einsum("khw,hw->k", symbol, weight)[:, None])[..., 0]


def test_closed_form_in_the_sine_basis_is_the_closed_form():
    layer = lattice(4, "shared", size=(6, 5))
    x = images_like(layer, 40).numpy()
    power = np.mean(sine_transform(tf.constant(x)).numpy() ** 2, axis=0)
    found = closed_forms_in_the_sine_basis(power[None], np.ones([6, 5]))[0]
    np.testing.assert_allclose(found, closed_form(plain_quadratic(layer, x)), rtol=1e-9)
    variance = 1 / np.tensordot(layer.theta.numpy(), symbols(6, 5, OFFSETS[4]), axes=1)
    found = closed_forms_in_the_sine_basis(power[None], variance)[0]
    curvature, linear = cases.score_matching_quadratic(layer, second_moments(x), covariance(layer))
    np.testing.assert_allclose(found, np.linalg.solve(curvature, linear), rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_plain_fit_finds_the_closed_form_where_that_is_positive_definite(optimizer):
    truth = lattice(4, "shared", size=(8, 8))
    x = LatticeGaussian(truth).sample_by_factor(2000, seed=(3, 4)).numpy().astype(np.float32)
    layer = cases.start(4, "shared", x)
    result = fit_score_matching(layer, x, optimizer, variant="plain", steps=150)
    optimum = closed_form(plain_quadratic(layer, x))
    assert result.status == "converged" and result.history["optimum_min_eigenvalue"] > 0
    standard_error = np.sqrt(np.diag(np.linalg.inv(fisher_information(layer))) / len(x))
    assert np.abs((layer.theta.numpy() - optimum) / standard_error).max() < 0.5
    # The certificate is KL(p_θ* ‖ p_θ).
    best = StencilPrecision(4, "shared", dtype="float64")
    best.build(x.shape)
    best.assign_theta(optimum)
    there = lattice(4, "shared", size=(8, 8))
    there.assign_theta(layer.theta.numpy())
    divergence = float(LatticeGaussian(best).kl_divergence(LatticeGaussian(there)))
    assert result.suboptimality == pytest.approx(divergence, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize(
    ("weights", "optimizer"), [("shared", "rmsprop"), pytest.param("per_edge", "adam", marks=pytest.mark.slow)]
)
def test_preconditioned_fit_reaches_maximum_likelihood_on_digits(weights, optimizer):
    layer = cases.start(4, weights, digits())
    result = cases.fit_digits(fit_score_matching, layer, optimizer, steps=60)
    assert result.status == "converged"
    gap = cases.best_likelihood(4, weights) - cases.likelihood(layer)
    assert 0 < gap < 0.05  # Nats; sampling errors cost the per-edge maximum likelihood fit itself P/2N = 0.044 here.
    assert result.suboptimality == pytest.approx(gap, rel=0.2, abs=1e-8)  # but for terms of third order


def test_plain_fit_is_held_on_the_border_and_says_so():
    layer = cases.start(4, "shared", digits())
    result = cases.fit_digits(fit_score_matching, layer, variant="plain", steps=80)
    assert result.status.startswith(ON_BORDER) and result.suboptimality is None
    losses = {f"{float(result.history[f'loss_at_{place}']):.4g}" for place in ("optimum", "fit")}
    assert losses <= set(result.status.strip(")").replace(",", "").split())
    assert result.history["optimum_min_eigenvalue"] < -3 < 0 < layer.operator().min_eigenvalue() < 0.05
    assert result.history["loss_at_optimum"] < result.history["loss_at_fit"]
