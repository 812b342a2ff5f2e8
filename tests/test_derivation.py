"""The exercise's formulas, corrected: each against autodiff, against finite differences, and at D = 784."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
from second_cases import FAMILIES

from assignment.derivation import formulas
from assignment.derivation.errata import Example, answers, errata, example
from assignment.lattice.information import expected_moments
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.nce import nce_loss

DIFFERENCES = dict(rtol=1e-7, atol=1e-8)  # central differences in float64, h = 1e-5
EXACT = dict(rtol=1e-11, atol=1e-12)


@pytest.fixture(scope="module", params=FAMILIES, ids=str)
def problem(request):
    connectivity, weights = request.param
    return example(height=2, width=3, connectivity=connectivity, weights=weights)


def objective(log_w, nu):
    """J in the form that trains."""
    return -nce_loss(-log_w[0], -log_w[1], nu)


def forms(log_w, nu):
    factored = formulas.objective_noise_factored, formulas.objective_model_factored
    return [float(objective(log_w, nu)), *(float(form(*log_w, nu)) for form in factored)]


def moments(e):
    return [formulas.quadratic_derivatives(x, e.derivative) for x in (e.data, e.noise)]


def definition(e, theta, c=None):
    return formulas.objective_by_definition(e.data, e.noise, e.precision(theta), e.noise_precision, e.nu, c)


def golden():
    """One pixel, Λ_θ = 2, Λ_n = 1, ν = 2."""
    layer = StencilPrecision(dtype="float64")
    layer.build((None, 1, 1))
    layer.assign_theta([2.0, 0.0, 0.0])
    data, noise = [0.0, 1.0, 2.0], [0.0, -1.0, 3.0, 0.5, -0.5, 1.5]
    columns = [tf.constant(x, tf.float64)[:, None] for x in (data, noise)]
    derivative = formulas.precision_derivative(lambda _: layer.to_dense(), layer.theta.value)
    return Example(layer, derivative, *columns, tf.ones([1, 1], tf.float64), nu=2.0)


def test_golden_value():
    e = golden()
    log_w = e.log_weights(e.theta)
    np.testing.assert_allclose([*forms(log_w, e.nu), definition(e, e.theta)], -2.1995960888, atol=5e-11)
    traces = formulas.trace_derivatives(e.precision(e.theta), e.derivative)
    gradient = formulas.gradient(*log_w, *(formulas.scores(m, traces) for m in moments(e)), e.nu)
    np.testing.assert_allclose(gradient, [-0.5179196978, 0, 0], atol=5e-11)


@pytest.mark.parametrize("nu", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("c", [None, -3.0])
def test_the_forms_of_the_objective_are_one_number(problem, nu, c):
    precision, noise_precision = problem.precision(problem.theta), problem.noise_precision
    log_w = [formulas.log_weight(x, precision, noise_precision, c) for x in (problem.data, problem.noise)]
    expected = definition(problem._replace(nu=nu), problem.theta, c)
    np.testing.assert_allclose(forms(log_w, nu), expected, **EXACT)
    posteriors = [formulas.log_posterior(z, problem.data, precision, noise_precision, nu, c) for z in (0, 1)]
    np.testing.assert_allclose(np.exp(posteriors).sum(axis=0), 1, **EXACT)


def test_special_values():
    undecided = [tf.zeros([5], tf.float64), tf.zeros([9], tf.float64)]
    np.testing.assert_allclose(forms(undecided, 0.3), -math.log1p(0.3) - 0.3 * math.log1p(1 / 0.3), **EXACT)
    assert math.isnan(formulas.log_determinant(tf.constant([[1.0, 2.0], [2.0, 1.0]], tf.float64)))  # indefinite


def check_gradient(e, moments, traces, exact, by_differences):
    """That of the normalised model, from these moments and traces, against autodiff and finite differences."""
    theta = e.theta
    gradient = formulas.gradient(*e.log_weights(theta), *(formulas.scores(m, traces) for m in moments), e.nu)
    with tf.GradientTape() as tape:
        tape.watch(theta)
        j = objective(e.log_weights(theta), e.nu)
    np.testing.assert_allclose(gradient, tape.gradient(j, theta), **exact)
    differences = formulas.central_differences(lambda t: definition(e, t), theta)
    np.testing.assert_allclose(gradient, differences, **by_differences)


def test_gradient_of_the_normalised_model(problem):
    traces = formulas.trace_derivatives(problem.precision(problem.theta), problem.derivative)
    check_gradient(problem, moments(problem), traces, EXACT, DIFFERENCES)


def test_gradient_with_a_free_constant_and_concavity(problem):
    theta_and_c = tf.concat([problem.theta, [-1.3]], axis=0)

    def log_weights(t):
        precisions = problem.precision(t[:-1]), problem.noise_precision
        return [formulas.log_weight(x, *precisions, t[-1]) for x in (problem.data, problem.noise)]

    with tf.GradientTape(persistent=True) as outer:
        outer.watch(theta_and_c)
        with tf.GradientTape() as tape:
            tape.watch(theta_and_c)
            j = objective(log_weights(theta_and_c), problem.nu)
        automatic = tape.gradient(j, theta_and_c)
    hessian = outer.jacobian(automatic, theta_and_c, experimental_use_pfor=False) if problem.layer.shared else None
    gradient = formulas.gradient(*log_weights(theta_and_c), *map(formulas.scores_free, moments(problem)), problem.nu)
    np.testing.assert_allclose(gradient, automatic, **EXACT)
    differences = formulas.central_differences(lambda t: definition(problem, t[:-1], t[-1]), theta_and_c)
    np.testing.assert_allclose(gradient, differences, **DIFFERENCES)
    assert hessian is None or np.linalg.eigvalsh(hessian).max() < 0


def test_the_derivative_of_the_assembled_precision_is_the_stack_of_masks(problem):
    layer, derivative = problem.layer, problem.derivative
    assert derivative.shape == (6, 6, layer.theta.shape[0]) and derivative.dtype == tf.float64
    with tf.GradientTape(persistent=True) as tape:
        precision = layer.to_dense()
    plain = tape.jacobian(precision, layer.theta.value, experimental_use_pfor=False)
    np.testing.assert_array_equal(derivative, plain)
    np.testing.assert_array_equal(np.unique(derivative), [0, 1])
    np.testing.assert_allclose(problem.precision(problem.theta), precision, **EXACT)


def test_derivatives_of_functions_that_are_not_linear():
    def assemble(theta):
        return tf.linalg.diag(tf.exp(theta)) + theta[0] * theta[1]

    theta = tf.constant([0.3, -0.2, 1.1], tf.float64)
    differences = formulas.central_differences(assemble, theta)
    np.testing.assert_allclose(formulas.precision_derivative(assemble, theta), differences, **DIFFERENCES)
    theta = tf.constant([1.0, -2.0], tf.float64)  # central differences are exact for a quadratic
    differences = formulas.central_differences(lambda t: tf.stack([t[0] * t[1], t[1] ** 2]), theta)
    np.testing.assert_allclose(differences, [[-2, 1], [0, -4]], atol=1e-9)


def test_moments_and_traces_are_those_of_the_layer(problem):
    layer, theta = problem.layer, problem.theta
    images = tf.reshape(problem.data, [-1, 2, 3])
    np.testing.assert_allclose(moments(problem)[0], layer.quadratic_moments(images), **EXACT)
    traces = formulas.trace_derivatives(problem.precision(theta), problem.derivative)
    np.testing.assert_allclose(traces, expected_moments(layer), rtol=1e-10)
    of_log_det = formulas.central_differences(lambda t: formulas.log_determinant(problem.precision(t)), theta)
    np.testing.assert_allclose(traces, of_log_det, **DIFFERENCES)


def test_the_remark_on_the_covariance(problem):
    precision, derivative = problem.precision(problem.theta), problem.derivative
    of_sigma = formulas.covariance_derivative(precision, derivative)
    differences = formulas.central_differences(lambda t: tf.linalg.inv(problem.precision(t)), problem.theta)
    np.testing.assert_allclose(of_sigma, differences, **DIFFERENCES)
    back, sigma_times = formulas.derivative_from_covariance(precision, of_sigma)
    np.testing.assert_allclose(back, derivative, **EXACT)
    np.testing.assert_allclose(sigma_times, tf.einsum("ij,jlk->ilk", tf.linalg.inv(precision), derivative), **EXACT)


def test_no_matrix_has_sigma_times_the_derivative_as_its_derivative(problem):
    precision = problem.precision(problem.theta)
    curl = formulas.curl(precision, problem.derivative)

    def products(theta):
        return tf.einsum("ij,jlk->kil", tf.linalg.inv(problem.precision(theta)), problem.derivative)

    mixed = tf.transpose(formulas.central_differences(products, problem.theta), [0, 3, 1, 2])
    np.testing.assert_allclose(curl, mixed - tf.transpose(mixed, [1, 0, 2, 3]), **DIFFERENCES)
    np.testing.assert_allclose(tf.linalg.trace(curl), 0, atol=1e-14)
    commutes = (problem.layer.connectivity, problem.layer.weighting) == (4, "shared")
    assert (np.abs(curl).max() < 1e-14) == commutes
    logarithms = formulas.central_differences(lambda t: formulas.matrix_logarithm(problem.precision(t)), problem.theta)
    product = tf.transpose(products(problem.theta), [1, 2, 0])
    assert np.allclose(product, logarithms, **DIFFERENCES) == commutes
    np.testing.assert_allclose(np.trace(product), np.trace(logarithms), **DIFFERENCES)


@pytest.mark.parametrize("size", [1e2, 1e5])
def test_log_weights_of_any_size_stay_finite(size):
    log_w = tf.constant([-size, -1.0, 0.0, size], tf.float64)
    expected = -np.logaddexp(0, math.log(2) + log_w).mean() - 2 * np.logaddexp(0, -math.log(2) - log_w).mean()
    np.testing.assert_allclose(forms([log_w, log_w], 2.0), expected, rtol=1e-12)
    scores = formulas.scores_free(tf.ones([4, 1], tf.float64))
    assert np.isfinite(formulas.gradient(log_w, log_w, scores, scores, 2.0)).all()


@pytest.mark.parametrize("noise_precision", [1.0, 3.5])  # w overflows; the classes overlap
def test_all_of_it_at_the_size_of_the_exercise(noise_precision):
    e = example(28, 28, noise_precision=noise_precision)
    theta = e.theta
    log_w = e.log_weights(theta)
    assert (np.max(log_w[1]) > math.log(np.finfo(np.float64).max)) == (noise_precision == 1)
    np.testing.assert_allclose(forms(log_w, e.nu), definition(e, theta), rtol=1e-10, atol=1e-11)
    by_layer = [e.layer.quadratic_moments(tf.reshape(x, [-1, 28, 28])) for x in (e.data, e.noise)]
    tolerances = dict(rtol=1e-9, atol=1e-12), dict(rtol=1e-6, atol=1e-6)
    check_gradient(e, by_layer, expected_moments(e.layer), *tolerances)


def test_every_error_is_one_every_correction_is_right_and_the_open_questions_have_answers():
    rows, answered = errata(), answers()
    json.dumps([rows, answered], allow_nan=False)
    assert len(rows) == 12
    for row in rows:
        assert row["ours"] < (1e-8 if row["reference"].startswith("finite") else 1e-13), row
        assert row["theirs"] is None or row["theirs"] > 0.1, row
    assert [row["where"] for row in rows if row["theirs"] is None] == [rows[-1]["where"]]
    assert max(answered[name] for name in ("trace", "logarithm", "jacobian", "curl_by_differences")) < 1e-8
    assert max(answered["forms_differ"], answered["curl_shared_4"]) < 1e-13
    assert min(answered["curl_per_edge_4"], answered["curl_shared_8"]) > 0.1
