"""Score matching: its definition, its closed form, its efficiency, and fits by it."""

import numpy as np
import pytest
import tensorflow as tf
from second_cases import FAMILIES, diagonal_start, digits, images_like, lattice, maximum_likelihood

from assignment.batches import second_moments
from assignment.estimators.following import CONVERGED, ON_BORDER, fit_score_matching
from assignment.estimators.maximum_likelihood import mean_log_likelihood
from assignment.estimators.score_matching import ScoreMatching, closed_form
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import covariance, fisher_information
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.sine import sine_transform, symbols
from assignment.lattice.stencil import OFFSETS


def weight_matrix(size, seed=4):
    root = np.random.default_rng(seed).normal(size=[size, size])
    return root @ root.T / size + np.eye(size)


@pytest.mark.parametrize("plain", [True, False])
def test_loss_is_its_definition(plain):
    layer, weight = lattice(), np.eye(20) if plain else weight_matrix(20)
    x, precision = images_like(layer), layer.to_dense().numpy()
    score = -x.numpy().reshape(-1, 20) @ precision
    expected = 0.5 * np.einsum("ni,ij,nj->n", score, weight, score).mean() - np.trace(weight @ precision)
    found = ScoreMatching(None if plain else weight).loss(layer, x)
    assert float(found) == pytest.approx(expected, rel=1e-12)
    shifted = LatticeGaussian(layer, mean=tf.ones([5, 4], tf.float64))
    assert float(ScoreMatching(None if plain else weight).loss(shifted, x + 1)) == pytest.approx(expected, rel=1e-12)


def test_loss_is_hyvarinens_laplacian_and_squared_gradient():
    """E[Δf + ½‖∇f‖²], both by automatic differentiation of f_θ."""
    layer = lattice()
    model, x = LatticeGaussian(layer), images_like(layer)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            energy = model.unnormalized_log_prob(x)
        gradient = inner.gradient(energy, x)
    hessian = tf.reshape(outer.batch_jacobian(gradient, x), [-1, 20, 20])
    expected = tf.linalg.trace(hessian) + 0.5 * tf.reduce_sum(gradient**2, axis=[1, 2])
    assert float(ScoreMatching().loss(model, x)) == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-12)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("connectivity", "weights"), FAMILIES)
def test_gradient_against_finite_differences_and_closed_form(connectivity, weights, plain):
    layer, weight = lattice(connectivity, weights), None if plain else weight_matrix(20)
    estimator, x = ScoreMatching(weight), images_like(layer, 200)

    def gradient():
        with tf.GradientTape() as tape:
            loss = estimator.loss(layer, x)
        return tape.gradient(loss, layer.theta.value).numpy()

    theta, at_start, step = layer.theta.numpy(), gradient(), 1e-4
    for k in range(0, len(theta), 5):
        values = []
        for sign in (1, -1):
            layer.theta.assign(theta + sign * step * np.eye(len(theta))[k])
            values.append(float(estimator.loss(layer, x)))
        assert at_start[k] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6, abs=1e-7)
    layer.theta.assign(closed_form(layer, second_moments(x.numpy()), weight))
    np.testing.assert_allclose(gradient(), 0, atol=1e-10 * np.abs(at_start).max())


@pytest.mark.parametrize(("connectivity", "weights"), FAMILIES)
def test_preconditioned_by_its_own_covariance_it_is_stationary_where_maximum_likelihood_is(connectivity, weights):
    """With S = Σ(θ) on the edges alone, that is E_data[s] = E_θ[s], and M = Σ(θ), the closed form is θ."""
    layer = lattice(connectivity, weights)
    sigma = covariance(layer)
    off_stencil = layer.to_dense().numpy() == 0
    disturbance = 0.02 * weight_matrix(20) * off_stencil
    np.testing.assert_allclose(closed_form(layer, sigma + disturbance, sigma), layer.theta, rtol=1e-8)


def test_constant_diagonal_is_besags_pseudo_likelihood():
    """With Λ_ii = a, −log Π p(x_i | rest) = ‖Λx‖²/2a − (D/2) log a per image: the same optimum as ½‖Λx‖² − Da."""
    layer = lattice(8, "shared")
    x = images_like(layer, 300)
    layer.assign_theta(closed_form(layer, second_moments(x.numpy())))
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
    """Variance of repeated closed-form fits over the Cramér–Rao bound: mathematics.md's for M = I, 1 for M = Σ."""
    images, repeats = 20, 8000
    layer = StencilPrecision(4, "shared", dtype="float64")
    layer.build((None, 28, 28))
    layer.assign_theta([diagonal, -1, -1])
    eigenvalues = np.tensordot(layer.theta.numpy(), symbols(28, 28, OFFSETS[4]), axes=1)
    random = np.random.default_rng(0)
    # Images are white noise over √λ in the sine basis, and all that the closed form sees of them is their mean power.
    power = random.chisquare(images, [repeats, 28, 28]) / images / eigenvalues
    bound = np.diag(np.linalg.inv(fisher_information(layer))) / images
    tolerance = 4 * np.sqrt(2 / repeats)  # The relative standard error of a variance, times 4.
    for weight, efficiency in ((np.ones([28, 28]), np.array([*expected, expected[1]])), (1 / eigenvalues, np.ones(3))):
        fits = closed_forms_in_the_sine_basis(power, weight)
        assert np.abs((fits.mean(axis=0) - layer.theta) / (fits.std(axis=0) / np.sqrt(repeats))).max() < 5
        squared_error = np.mean((fits - layer.theta) ** 2, axis=0)
        np.testing.assert_allclose(bound / squared_error, efficiency, rtol=tolerance)


def closed_forms_in_the_sine_basis(power, weight):
    """`closed_form` of many data sets [R, H, W] at once, for shared weights and 4 neighbours; see the test of it."""
    symbol = symbols(*weight.shape, OFFSETS[4])
    products = np.einsum("khw,lhw,hw->hwkl", symbol, symbol, weight)
    curvature = np.tensordot(power, products, axes=2)
    return np.linalg.solve(curvature, np.einsum("khw,hw->k", symbol, weight)[:, None])[..., 0]


def test_closed_form_in_the_sine_basis_is_the_closed_form():
    layer = lattice(4, "shared", size=(6, 5))
    x = images_like(layer, 40).numpy()
    power = np.mean(sine_transform(tf.constant(x)).numpy() ** 2, axis=0)
    variance = 1 / np.tensordot(layer.theta.numpy(), symbols(6, 5, OFFSETS[4]), axes=1)
    for weight, dense in ((np.ones([6, 5]), None), (variance, covariance(layer))):
        found = closed_forms_in_the_sine_basis(power[None], weight)[0]
        np.testing.assert_allclose(found, closed_form(layer, second_moments(x), dense), rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_gradient_fit_finds_the_closed_form_where_that_is_positive_definite(optimizer):
    truth = lattice(4, "shared", size=(8, 8))
    x = LatticeGaussian(truth).sample_by_factor(2000, seed=(3, 4)).numpy().astype(np.float32)
    layer, _ = diagonal_start(4, "shared", x)
    result = fit_score_matching(layer, x, "plain", optimizer, steps=150)
    optimum = closed_form(layer, second_moments(x))
    assert result["status"] == CONVERGED and result["optimum_min_eigenvalue"] > 0
    standard_error = np.sqrt(np.diag(np.linalg.inv(fisher_information(layer))) / len(x))
    assert np.abs((layer.theta.numpy() - optimum) / standard_error).max() < 0.5


@pytest.mark.parametrize(("weights", "optimizer"), [("shared", "rmsprop"), ("per_edge", "adam")])
def test_preconditioned_fit_reaches_maximum_likelihood_on_digits(weights, optimizer):
    layer, moments = diagonal_start(4, weights, digits())
    positive = []

    def progress(*_):
        positive.append(bool(layer.operator().positive_definite()))

    result = fit_score_matching(layer, digits(), "preconditioned", optimizer, steps=120, progress=progress)
    assert result["status"] == CONVERGED and all(positive)
    gap = maximum_likelihood(4, weights, digits()) - mean_log_likelihood(layer, moments)
    assert 0 < gap < 0.05  # Nats; sampling errors cost the per-edge maximum likelihood fit itself P/2N = 0.044 here.


def test_plain_fit_is_held_on_the_border_and_says_so():
    layer, _ = diagonal_start(4, "shared", digits())
    positive = []

    def progress(*_):
        positive.append(bool(layer.operator().positive_definite()))

    result = fit_score_matching(layer, digits(), "plain", steps=80, progress=progress)
    assert all(positive)
    assert result["status"] == ON_BORDER
    assert result["optimum_min_eigenvalue"] < -3 < 0 < result["min_eigenvalue"] < 0.05
    assert result["loss_at_optimum"] < result["loss_at_fit"]


def test_bad_variant():
    with pytest.raises(ValueError, match="variant must be one of preconditioned, plain"):
        fit_score_matching(lattice(dtype="float32"), np.ones([9, 5, 4], "f4"), "white")
