"""The fast forms of Λ against the dense matrix, its closed forms and SciPy-free oracles, method by method."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import random_layer

from assignment.lattice.information import expected_moments, fisher_information, root
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.stencil import OFFSETS, weight_pixels

EXACT = dict(rtol=1e-11, atol=1e-11)


def dense_from_definition(layer):
    """Λ entry by entry: the values of `diagonal` and `couplings` put between neighbouring pixels."""
    height, width = layer.height, layer.width
    matrix = np.zeros([height * width] * 2)
    diagonal, couplings = np.broadcast_to(layer.diagonal, [height, width]), layer.couplings.numpy()
    for h in range(height):
        for w in range(width):
            matrix[h * width + w, h * width + w] = diagonal[h, w]
            for k, (down, right) in enumerate(OFFSETS[layer.connectivity]):
                if h + down < height and 0 <= w + right < width:
                    value = couplings[k] if layer.shared else couplings[k, h, w]
                    i, j = h * width + w, (h + down) * width + w + right
                    matrix[i, j] = matrix[j, i] = value
    return matrix


def images(layer, count=3, seed=1):
    return np.random.default_rng(seed).standard_normal((count, layer.height, layer.width))


def test_dense_matrix_is_the_definition(layer):
    np.testing.assert_array_equal(layer.to_dense(), dense_from_definition(layer))


def test_layer_and_quadratic_form_are_those_of_the_dense_matrix(layer):
    x, matrix = images(layer), dense_from_definition(layer)
    flat = x.reshape(len(x), -1)
    np.testing.assert_allclose(np.reshape(layer(x), flat.shape), flat @ matrix, **EXACT)
    np.testing.assert_allclose(layer.quadratic_form(x), np.einsum("ni,ij,nj->n", flat, matrix, flat), **EXACT)
    np.testing.assert_allclose(layer.quadratic_form(x[0]), flat[0] @ matrix @ flat[0], **EXACT)


def test_operator_agrees_with_numpy(layer):
    operator, matrix = layer.operator(), dense_from_definition(layer)
    flat = images(layer).reshape(3, -1)
    sign, log_determinant = np.linalg.slogdet(matrix)
    assert sign == 1
    np.testing.assert_allclose(operator.log_determinant(), log_determinant, **EXACT)
    np.testing.assert_allclose(operator.solvevec(flat), np.linalg.solve(matrix, flat.T).T, **EXACT)
    np.testing.assert_allclose(operator.diag_part(), np.diag(matrix), **EXACT)
    np.testing.assert_allclose(operator.min_eigenvalue(), np.linalg.eigvalsh(matrix)[0], **EXACT)
    assert operator.positive_definite()


def test_both_roots_square_to_the_covariance(layer):
    units = np.eye(20).reshape(20, 5, 4)
    covariance = np.linalg.inv(dense_from_definition(layer))
    symmetric = layer.operator().inverse_root_images(units).numpy().reshape(20, 20)
    np.testing.assert_allclose(symmetric, symmetric.T, **EXACT)
    np.testing.assert_allclose(symmetric @ symmetric, covariance, **EXACT)
    factor = layer.operator().sampler().colour(tf.constant(units)).numpy().reshape(20, 20)
    np.testing.assert_allclose(factor.T @ factor, covariance, **EXACT)


def test_moments_and_information_are_the_traces(layer):
    covariance = np.linalg.inv(dense_from_definition(layer))
    masks = []
    theta = layer.theta.numpy()
    for k in range(len(theta)):
        layer.theta.assign(np.eye(len(theta))[k])
        masks.append(dense_from_definition(layer))
    layer.theta.assign(theta)
    products = [covariance @ mask for mask in masks]
    np.testing.assert_allclose(expected_moments(layer), [np.trace(p) for p in products], **EXACT)
    information = [[0.5 * np.sum(p * q.T) for q in products] for p in products]
    np.testing.assert_allclose(fisher_information(layer), information, **EXACT)
    x = images(layer)
    flat = x.reshape(3, -1)
    np.testing.assert_allclose(layer.quadratic_moments(x), np.einsum("ni,kij,nj->nk", flat, masks, flat), **EXACT)


def test_information_has_a_root_up_to_the_border():
    layer = StencilPrecision(4, "shared")
    layer.build((28, 28))
    layer.assign_theta([41.94504928588867, -9.937217712402344, -11.158973693847656])
    assert 0 < layer.operator().min_eigenvalue() < 1e-7
    information = fisher_information(layer)
    assert np.linalg.eigvalsh(information)[0] < 0  # by rounding
    factor = root(information)
    np.testing.assert_allclose(factor @ factor.T, information, rtol=1e-14)
    np.testing.assert_array_equal(root(np.diag([4.0, 9.0])), np.diag([2.0, 3.0]))


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
    assert layer.operator().sine_diagonal == (weights == "shared")
    np.testing.assert_allclose(layer.operator().log_determinant(), log_determinant, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2)])
@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("weights", ["shared", "per_edge"])
def test_thin_lattices(size, connectivity, weights):
    layer = random_layer(connectivity, weights, *size)
    matrix = dense_from_definition(layer)
    np.testing.assert_array_equal(layer.to_dense(), matrix)
    np.testing.assert_allclose(layer.operator().log_determinant(), np.linalg.slogdet(matrix)[1], **EXACT)


def test_number_of_trainable_weights():
    for connectivity, weights, count in [
        (4, "shared", 3),
        (8, "shared", 5),
        (4, "per_edge", 2296),
        (8, "per_edge", 3754),
    ]:
        layer = StencilPrecision(connectivity, weights)
        layer.build((None, 28, 28))
        assert sum(int(np.prod(v.shape)) for v in layer.trainable_variables) == count
        rows, columns = weight_pixels(connectivity, 28, 28)
        assert len(rows) == {4: 2296, 8: 3754}[connectivity] and (rows <= columns).all()


def test_assign_sets_what_the_properties_return(layer):
    other = StencilPrecision(layer.connectivity, layer.weighting, dtype="float64")
    other.build((5, 4))
    other.assign(layer.diagonal, layer.couplings)
    np.testing.assert_array_equal(other.to_dense(), layer.to_dense())


def test_assign_refuses_what_is_not_a_precision(layer):
    before = layer.theta.numpy()
    zero = np.zeros(layer.couplings.shape)
    for diagonal, couplings, words in [
        (-np.ones(layer.diagonal.shape), zero, "positive definite"),
        (np.full(layer.diagonal.shape, np.nan), zero, "finite"),
        (np.ones(7), zero, "shape"),
    ]:
        with pytest.raises(ValueError, match=words):
            layer.assign(diagonal, couplings)
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


def test_keras_round_trip(layer, tmp_path):
    x = images(layer)
    model = keras.Sequential([keras.Input((5, 4), dtype="float64"), layer])
    model.save(tmp_path / "layer.keras")
    again = keras.models.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(again(x), layer(x))
    assert again.layers[-1].get_config() == layer.get_config()


def test_gradients_against_finite_differences(layer):
    x = images(layer)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer.quadratic_form(x)) + layer.operator().log_determinant()
    gradient = tape.gradient(value, layer.theta.value).numpy()
    theta, step = layer.theta.numpy(), 1e-5
    for k in range(0, len(theta), max(1, len(theta) // 7)):
        ends = []
        for sign in (1, -1):
            layer.theta.assign(theta + sign * step * np.eye(len(theta))[k])
            ends.append(float(tf.reduce_sum(layer.quadratic_form(x)) + layer.operator().log_determinant()))
        layer.theta.assign(theta)
        np.testing.assert_allclose(gradient[k], (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("arguments", [dict(connectivity=6), dict(weights="shraed")])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        StencilPrecision(**arguments)
