"""Lattices far larger than a digit: the values of the dense matrix, soon, never too much memory."""

import time

import numpy as np
import pytest
import tensorflow as tf

from assignment.fits.maximum_likelihood import fit_maximum_likelihood
from assignment.lattice import memory
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import expected_moments, information_product
from assignment.lattice.operator import LinearOperatorLattice
from assignment.lattice.precision import StencilPrecision

SLACK = 10  # A busy machine may take so many times what `make bench` shows of a free one.


def large_layer(connectivity, weights, height, width, dtype="float64", seed=0):
    """A layer whose Λ is diagonally dominant, so positive definite at any size."""
    layer = StencilPrecision(connectivity, weights, dtype=dtype)
    layer.build((None, height, width))
    pixels, random = layer.group_sizes[0], np.random.default_rng(seed)
    theta = random.uniform(-0.9, 0.4, layer.theta.shape) * (4 / connectivity)
    theta[:pixels] = random.uniform(4.0, 4.5, pixels)
    layer.theta.assign(theta)
    return layer


@pytest.mark.parametrize(
    "connectivity, weights, height, width",
    [
        (4, "shared", 520, 4),  # One axis by Fourier transform, the other by a product.
        (4, "shared", 4, 520),
        (8, "shared", 20, 60),  # With unequal diagonals the sine transform is no help.
        (4, "per_edge", 60, 30),
        (8, "per_edge", 30, 60),
    ],
)
def test_log_determinants_are_those_of_the_dense_matrix(connectivity, weights, height, width):
    operator = large_layer(connectivity, weights, height, width).operator()
    assert float(operator.log_determinant()) == pytest.approx(np.linalg.slogdet(operator.to_dense())[1], rel=1e-11)


def test_log_determinants_of_large_blocks():
    height, width = 100, 97
    layer = large_layer(8, "per_edge", height, width)
    homogeneous = np.repeat([8.5, -1.0, -1.0, -1.0, -1.0], layer.group_sizes)
    rows, columns = (2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1)) for n in (height, width))
    spectrum = 8.5 - rows[:, None] - columns - np.outer(rows, columns)  # by sines
    assert float(layer.operator(homogeneous).log_determinant()) == pytest.approx(np.sum(np.log(spectrum)), rel=1e-12)
    factor = layer.operator().sampler()
    by_factor = -2 * np.sum(np.log(np.diagonal(factor.inverse, axis1=-2, axis2=-1)))
    assert float(layer.operator().log_determinant()) == pytest.approx(by_factor, rel=1e-13)
    theta = layer.theta.numpy()
    for row in (0, 49, 50, 99):  # the ends and the middle of both ways
        indefinite = np.where(np.arange(len(theta)) == row * width + 60, -0.1, theta)
        assert not layer.operator(indefinite).positive_definite()


@pytest.mark.parametrize(("size", "shift"), [((40, 30), 0), ((26, 45), 5)], ids=["definite", "indefinite"])
def test_least_eigenvalue_of_large_lattices(size, shift):
    layer = large_layer(8, "per_edge", *size)
    operator = LinearOperatorLattice(layer.diagonal - shift, layer.couplings, *size)
    expected = np.linalg.eigvalsh(operator.to_dense())[0]
    assert (expected < 0) == bool(shift)
    np.testing.assert_allclose(operator.min_eigenvalue(), expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("weights, side, seconds", [("shared", 1024, (0.3, 0.5)), ("per_edge", 128, (1, 1))])
def test_large_samples_have_the_law_of_the_lattice_and_come_soon(weights, side, seconds):
    """xᵀΛx of a draw has mean D and variance 2D, at D = 1 048 576 a check to one part in a thousand."""
    layer = large_layer(4, weights, side, side, dtype="float32")
    gaussian, seed = LatticeGaussian(layer), tf.Variable([0, 1])
    log_determinant = tf.function(lambda: layer.operator().log_determinant())
    sample = tf.function(lambda: gaussian.sample_by_factor(1, seed=seed))
    for k, function in enumerate((log_determinant, sample)):
        function()
        start = time.monotonic()
        assert np.isfinite(function().numpy()).all()
        assert time.monotonic() - start < SLACK * seconds[k]
    form = float(tf.reduce_sum(layer.quadratic_form(tf.cast(sample(), tf.float32))))
    assert abs(form - side**2) < 4.5 * np.sqrt(2) * side


@pytest.mark.parametrize(("weights", "side"), [("shared", 600), ("per_edge", 64)])
def test_variances_of_large_lattices_need_no_dense_matrix(weights, side, monkeypatch):
    """In the middle of a large homogeneous lattice a variance is the integral of 1/λ over all frequencies."""
    layer = StencilPrecision(4, weights, dtype="float64")
    layer.build((side, side))
    layer.theta.assign(np.repeat([5.0, -1.0, -1.0], layer.edge_counts if weights == "per_edge" else 1))
    monkeypatch.setattr(memory, "available", lambda: 100e6)
    middle = LatticeGaussian(layer).variance()[side // 2, side // 2]
    cosine = np.cos(2 * np.pi * np.arange(400) / 400)
    np.testing.assert_allclose(middle, np.mean(1 / (5 - 2 * cosine[:, None] - 2 * cosine)), rtol=1e-12)


def test_what_does_not_fit_is_refused_beforehand(monkeypatch):
    gaussian = LatticeGaussian(large_layer(4, "per_edge", 256, 256))
    monkeypatch.setattr(memory, "available", lambda: 100e6)
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"256 × 256 .* needs about .* GB of memory and 0.1 GB are free"):
        gaussian.sample_by_factor(1, seed=0)
    with pytest.raises(ValueError, match=r"smaller images \(about 14[0-9] × 14[0-9] pixels would fit\)"):
        gaussian.variance()
    with pytest.raises(ValueError, match="Λ of 256 × 256 pixels as a dense matrix needs about 69 GB"):
        gaussian.precision.to_dense()
    assert time.monotonic() - start < 2


@pytest.mark.slow
def test_weights_of_64_by_64_pixels_are_recovered_within_their_standard_errors():
    """N δᵀFδ of the maximum likelihood is χ² with P degrees of freedom (Wald 1943); P = 12,160, one for each edge."""
    layer, count = large_layer(4, "per_edge", 64, 64), 2000
    truth = layer.theta.numpy()
    images = LatticeGaussian(layer).sample_by_factor(count, seed=(0, 0)).numpy()
    fit_maximum_likelihood(layer.match_variances(images), images)
    error = layer.theta.numpy() - truth
    squares = count * error @ information_product(layer, truth, expected_moments(layer, truth), error)
    assert squares == pytest.approx(len(truth), rel=4 * (2 / len(truth)) ** 0.5)
