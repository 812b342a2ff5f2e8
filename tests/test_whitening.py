"""Moments and Fisher information against dense matrices, and the coordinates in which the information is about I."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_layer
from lattice_oracle import directions
from second_cases import FAMILIES, covariance, fisher_information

from assignment.benchmark.likelihood import _conditions
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import (
    expected_moments,
    information_product,
    near_information,
    shared_information,
)
from assignment.lattice.nearby import near_matrix, near_weights
from assignment.training.whitening import Whitening, whitening_matrix

SIZES = [(1, 1), (1, 6), (6, 1), (2, 2), (3, 9), (9, 3)]
KINDS = [(4, "per_edge", size) for size in SIZES[:4]] + [(8, "per_edge", size) for size in SIZES[1:]]
KINDS += [(4, "shared", (3, 9)), (4, "shared", (9, 3)), (8, "shared", (2, 2)), (8, "shared", (5, 4))]
LARGER = [(4, "per_edge", (8, 7)), (8, "per_edge", (8, 7))]


def dense_moments(layer):
    """tr(ΣA_k), [P]."""
    return np.einsum("ij,kij->k", covariance(layer), directions(layer))


def matrix_of(rows):
    """A sparse matrix, written out."""
    return np.stack([rows.transposed_product(unit) for unit in np.eye(len(rows.places))])


@pytest.mark.parametrize(("connectivity", "weights", "size"), KINDS)
def test_moments_and_information_are_the_dense_ones(connectivity, weights, size, eager):
    layer = random_layer(connectivity, weights, *size)
    theta, moments, information = layer.theta.numpy(), dense_moments(layer), fisher_information(layer)
    np.testing.assert_allclose(expected_moments(layer), moments, rtol=1e-10, atol=1e-12)
    v = np.random.default_rng(1).standard_normal(len(theta))
    v /= np.sqrt(v @ information @ v)
    scale = np.abs(information @ v).max()
    np.testing.assert_allclose(information_product(layer, theta, moments, v), information @ v, atol=2e-4 * scale)
    if layer.shared:
        found, entries = shared_information(layer)
        np.testing.assert_allclose(entries, information, rtol=1e-8, atol=1e-10)
    else:
        found, entries = near_information(layer)
        around = near_weights(connectivity, *size)[1]
        k, slots = np.nonzero(around >= 0)
        l = around[k, slots]  # noqa: E741
        np.testing.assert_allclose(entries(k, l), information[k, l], rtol=1e-10, atol=1e-12)
        near = np.zeros_like(information, bool)
        near[k, l] = True
        np.testing.assert_allclose(matrix_of(near_matrix(around, entries)), np.where(near, information, 0), atol=1e-12)
    np.testing.assert_allclose(found, moments, rtol=1e-10, atol=1e-12)
    other = random_layer(connectivity, weights, *size, seed=5)  # Weights that are not the layer's own
    expected = dense_moments(other)
    np.testing.assert_allclose(expected_moments(layer, other.theta.numpy()), expected, rtol=1e-10, atol=1e-12)


def test_information_of_shared_weights_near_the_border():
    layer = random_layer(8, "shared", 5, 4, least=1e-5)
    np.testing.assert_allclose(shared_information(layer)[1], fisher_information(layer), rtol=1e-7)


@pytest.mark.parametrize(("connectivity", "size"), [(c, size) for c in (4, 8) for size in SIZES])
def test_near_weights_are_those_whose_middles_are_within_a_pixel(connectivity, size):
    layer = random_layer(connectivity, "per_edge", *size)
    first, *_, last = zip(*[(np.nonzero(a.any(0))[0][[0, -1]]) for a in directions(layer)], strict=True)
    middles = (np.stack(np.divmod(first, size[1])) + np.stack(np.divmod(last, size[1]))).T / 2
    near = np.abs(middles[:, None] - middles).max(-1) <= 1
    before, around = near_weights(connectivity, *size)
    order = np.lexsort((np.arange(len(middles)), middles[:, 1], middles[:, 0]))
    rank = np.argsort(order)
    for k in range(len(middles)):
        assert set(around[k]) - {-1} == set(np.flatnonzero(near[k]))
        assert set(before[k]) - {-1} == set(np.flatnonzero(near[k] & (rank <= rank[k])))
        assert before[k, -1] == k


@pytest.mark.parametrize(("connectivity", "weights", "size"), KINDS + LARGER)
def test_whitened_information_is_about_the_identity(connectivity, weights, size, eager):
    """Exactly for shared weights; for per-edge ones the eigenvalues stay within those measured on images."""
    layer = random_layer(connectivity, weights, *size)
    moments, root = whitening_matrix(layer)
    information = fisher_information(layer)
    np.testing.assert_allclose(moments, dense_moments(layer), rtol=1e-10, atol=1e-12)
    product = matrix_of(root) @ information @ matrix_of(root).T
    np.testing.assert_allclose(np.diag(product), 1, rtol=1e-6)
    eigenvalues = np.linalg.eigvalsh(product)
    if layer.shared:
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-9)
    else:
        assert 0.4 < eigenvalues[0] and eigenvalues[-1] < 5
        conditions = [np.linalg.cond(information), np.linalg.cond(product)]  # as the bench has them
        np.testing.assert_allclose(list(_conditions(layer, layer.theta.numpy()).values()), conditions, rtol=1e-6)
    if size == (8, 7):  # More than the diagonal alone could do
        scaled = information / np.sqrt(np.outer(np.diag(information), np.diag(information)))
        condition = np.linalg.cond(scaled)
        assert eigenvalues[-1] / eigenvalues[0] < condition / 3


@pytest.mark.parametrize("least", [1e-4, 1e-8, 1e-12])
@pytest.mark.parametrize(("connectivity", "weights"), FAMILIES)
def test_a_nearly_singular_precision_still_has_coordinates(connectivity, weights, least):
    layer = random_layer(connectivity, weights, 5, 4, least=least)
    moments, root = whitening_matrix(layer)
    assert np.isfinite(moments).all() and np.isfinite(root.values).all()
    assert np.linalg.matrix_rank(matrix_of(root) / np.abs(matrix_of(root)).max(1, keepdims=True)) == len(moments)
    whitening = Whitening(random_layer(connectivity, weights, 5, 4, dtype="float32"))
    whitening.layer.theta.assign(layer.theta)
    if whitening.layer.operator().positive_definite():
        whitening.centre()
        assert np.isfinite(whitening.shift(tf.ones(len(moments)))).all()


def test_shift_and_gradient_are_each_others_transpose(layer):
    whitening = Whitening(layer)
    whitening.centre()
    matrix = matrix_of(whitening_matrix(layer)[1])
    random = np.random.default_rng(2)
    u, v = random.standard_normal((2, len(matrix)))
    np.testing.assert_allclose(whitening.gradient(tf.constant(u)), matrix @ u, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(whitening.shift(tf.constant(v)), matrix.T @ v, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(whitening_matrix(layer)[1].product(u), matrix @ u, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(whitening.origin, layer.theta)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_the_whitened_length_is_the_spread_of_the_log_ratio(connectivity):
    """Exactly for shared weights, and within the roots of the extreme eigenvalues for per-edge ones."""
    for weights, least, most in (("shared", 1, 1), ("per_edge", 0.4**0.5, 5**0.5)):
        layer = random_layer(connectivity, weights, 5, 4)
        whitening = Whitening(layer)
        whitening.centre()
        x = LatticeGaussian(layer).sample_by_factor(20_000, seed=(3, 4)).numpy()
        phi = np.random.default_rng(3).standard_normal(len(layer.theta.numpy()))
        phi /= np.linalg.norm(phi)
        ratio = -0.5 * layer.quadratic_form(x, whitening.shift(tf.constant(phi))).numpy()
        error = 4.5 * np.sqrt(np.mean((ratio - ratio.mean()) ** 4) / ratio.var() ** 2 / 80_000)
        assert least * (1 - error) < ratio.std() < most * (1 + error)
