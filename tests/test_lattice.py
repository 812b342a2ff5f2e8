"""The fast forms of Λ against the dense matrix, its closed forms and SciPy-free oracles, method by method."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_layer
from lattice_oracle import assert_gradient, directions, precision_matrix, random_fields

from assignment.lattice.operator import LinearOperatorLattice
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.stencil import OFFSETS, weight_pixels

EXACT = dict(rtol=1e-11, atol=1e-11)


def dense_from_definition(layer):
    """Λ entry by entry: the values of `diagonal` and `couplings` put between neighbouring pixels."""
    size = (1, 1) if layer.shared else (5, 4)
    return precision_matrix(np.reshape(layer.diagonal, size), np.reshape(layer.couplings, (-1, *size)), 5, 4)


X = np.random.default_rng(1).standard_normal((3, 5, 4))
FLAT = X.reshape(3, 20)


def test_products_forms_and_moments_are_those_of_the_dense_matrix(layer):
    matrix = dense_from_definition(layer)
    np.testing.assert_array_equal(layer.to_dense(), matrix)
    forms, moments = np.sum(FLAT @ matrix * FLAT, axis=1), np.einsum("ni,kij,nj->nk", FLAT, directions(layer), FLAT)
    np.testing.assert_allclose(np.reshape(layer(X), FLAT.shape), FLAT @ matrix, **EXACT)
    np.testing.assert_allclose(layer.quadratic_form(X), forms, **EXACT)
    np.testing.assert_allclose(layer.quadratic_form(X[0]), forms[0], **EXACT)
    np.testing.assert_allclose(layer.quadratic_moments(X), moments, **EXACT)


@pytest.mark.parametrize(
    ("connectivity", "diagonal", "coupling", "log_determinant"),
    [(4, 4.1, -1, 965.78171), (4, 4.5, -1, 1077.21448), (4, 5.0, -1, 1185.83654), (8, 8.5, -1, 1605.56416)],
)
@pytest.mark.parametrize("weights", ["shared", "per_edge"])
def test_log_determinant_at_28_by_28(connectivity, diagonal, coupling, log_determinant, weights):
    layer = StencilPrecision(connectivity, weights, dtype="float64")
    layer.build((28, 28))
    theta = np.full(layer.theta.shape, float(coupling))
    theta[: layer.group_sizes[0]] = diagonal
    layer.assign_theta(theta)
    assert layer.operator().sine_diagonal == ((connectivity, weights) == (4, "shared"))
    np.testing.assert_allclose(layer.operator().log_determinant(), log_determinant, atol=1e-5)


def near_entries(covariance, height, width):
    """[..., 4, 7, H, W] of Σ [..., D, D], entry by entry."""
    covariance = covariance.reshape(*covariance.shape[:-2], height, width, height, width)
    result = np.zeros((*covariance.shape[:-4], 4, 7, height, width))
    for r, c, down, right in np.ndindex(height, width, 4, 7):
        there = r + down, c + right - 3
        if there[0] < height and 0 <= there[1] < width:
            result[..., down, right, r, c] = covariance[..., r, c, *there]
    return result


# Both neighbourhoods in every shape, with kinds of weights and batches by turns.
SIZES = [(1, 1), (1, 5), (5, 1), (2, 2), (5, 4), (3, 6)]
TURNS = [("shared", ()), ("per_edge", (2, 3)), ("shared", (2, 3)), ("per_edge", ())]
NEAR = [(c, *TURNS[(k + c // 4) % 4], size) for k, size in enumerate(SIZES) for c in (4, 8)]


@pytest.mark.parametrize(("connectivity", "weights", "batch", "size"), NEAR, ids=str)
def test_near_covariances_of_every_shape_and_batch(connectivity, weights, batch, size, eager):
    fields = random_fields(np.random.default_rng(0), connectivity, weights, *size, batch)
    operator, matrix = LinearOperatorLattice(*fields, *size), precision_matrix(*fields, *size)
    np.testing.assert_array_equal(operator.to_dense(), matrix)
    near = near_entries(np.linalg.inv(matrix), *size)
    np.testing.assert_allclose(operator.near_covariances(), near, **EXACT)
    np.testing.assert_allclose(operator.variances(), near[..., 0, 3, :, :], **EXACT)
    for offsets in (None, OFFSETS[12 - connectivity]):  # Its own, and those of the other neighbourhood
        variances, covariances = operator.selected_inverse(offsets)
        expected = [near[..., down, 3 + right, :, :] for down, right in offsets or operator.offsets]
        np.testing.assert_allclose(variances, near[..., 0, 3, :, :], **EXACT)
        np.testing.assert_allclose(covariances, np.stack(expected, axis=-3), **EXACT)


def test_the_operator_of_other_weights_leaves_the_layer_alone(layer):
    before, theta = layer.theta.numpy(), 0.5 * layer.theta.numpy()
    for other in (theta, tf.constant(theta), theta.astype(np.float32)):
        operator, dtype = layer.operator(other), tf.as_dtype(other.dtype)
        assert operator.dtype == dtype
        expected = 0.5 * dense_from_definition(layer).astype(dtype.as_numpy_dtype)
        np.testing.assert_array_equal(operator.to_dense(), expected)
    np.testing.assert_array_equal(layer.theta, before)
    assert layer.operator().dtype == tf.float64


@pytest.mark.parametrize("weights", ["shared", "per_edge"])
def test_match_variances_is_diagonal_with_the_variances_of_the_images(weights):
    x = np.random.default_rng(0).standard_normal((20, 4, 3)).astype(np.float32) * [1, 2, 3] + 0.5
    layer = StencilPrecision(8, weights)
    assert layer.match_variances(x) is layer
    squares = np.mean(x.astype(np.float64) ** 2, axis=0)
    expected = 1 / (np.full((4, 3), squares.mean()) if weights == "shared" else squares)
    np.testing.assert_allclose(layer.to_dense(), np.diag(expected.ravel()), rtol=1e-6)


@pytest.mark.parametrize(("connectivity", "shared", "per_edge"), [(4, 3, 2296), (8, 5, 3754)])
def test_number_of_trainable_weights(connectivity, shared, per_edge):
    for weights, count in (("shared", shared), ("per_edge", per_edge)):
        layer = StencilPrecision(connectivity, weights)
        layer.build((None, 28, 28))
        assert [v.shape for v in layer.trainable_variables] == [(count,)]
    rows, columns = weight_pixels(connectivity, 28, 28)
    assert len(rows) == per_edge and (rows <= columns).all()


def test_assign_sets_what_the_properties_return(layer):
    other = StencilPrecision(layer.connectivity, layer.weighting, dtype="float64")
    other.build((5, 4))
    other.assign(layer.diagonal, layer.couplings)
    np.testing.assert_array_equal(other.to_dense(), layer.to_dense())


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda layer: layer.match_variances(np.ones((3, 5, 4), int)), "floating point, not int"),
        (lambda layer: layer.match_variances(np.ones((5, 4))), r"non-empty array \[N, H, W\]"),
        (lambda layer: layer.match_variances(np.ones((0, 5, 4))), "non-empty"),
        (lambda layer: layer.match_variances(np.full((3, 5, 4), np.nan)), "finite"),
        (lambda layer: layer.match_variances(np.ones((3, 4, 4))), r"images \[..., 5, 4\]"),
        (lambda layer: layer.match_variances(np.zeros((3, 5, 4))), "must vary"),
        (lambda layer: layer.assign(-np.ones(layer.diagonal.shape), 0 * layer.couplings), "positive definite"),
        (lambda layer: layer.assign(np.full(layer.diagonal.shape, np.nan), 0 * layer.couplings), "finite"),
        (lambda layer: layer.assign(np.ones(7), 0 * layer.couplings), "shape"),
    ],
)
def test_weights_that_are_refused_leave_the_layer_alone(layer, refused, words):
    before = layer.theta.numpy()
    with pytest.raises(ValueError, match=words):
        refused(layer)
    np.testing.assert_array_equal(layer.theta, before)


def test_an_edge_off_the_image_is_refused():
    layer = random_layer(4, "per_edge", 3, 3)
    couplings = layer.couplings.numpy()
    couplings[0, 0, 2] = -0.1
    with pytest.raises(ValueError, match="off the image"):
        layer.assign(layer.diagonal, couplings)


def test_positive_definiteness_is_decided_at_the_border():
    """The 4-connected stencil a, −1, −1 is positive definite exactly where a > 2cos(π/(W+1)) + 2cos(π/(H+1))."""
    border = 2 * np.cos(np.pi / 7) + 2 * np.cos(np.pi / 6)
    for weights in ("shared", "per_edge"):
        layer = StencilPrecision(4, weights, dtype="float64")
        layer.build((5, 6))
        theta = np.full(layer.theta.shape, -1.0)
        for shift, answer in ((1e-10, True), (-1e-10, False)):
            theta[: layer.group_sizes[0]] = border + shift
            layer.theta.assign(theta)
            assert bool(layer.operator().positive_definite()) is answer


def test_gradients_against_finite_differences(layer):
    @tf.function
    def value():
        return tf.reduce_sum(layer.quadratic_form(X)) + layer.operator().log_determinant()

    with tf.GradientTape() as tape:
        result = value()
    assert_gradient(tape.gradient(result, layer.theta.value), value, layer.theta.value)
