"""Lattices far larger than a digit: the same values as by a plain recursion in NumPy, soon, never too much memory."""

import time

import numpy as np
import pytest
import tensorflow as tf
from lattice_oracle import precision_matrix

from assignment.lattice import memory
from assignment.lattice.gaussian import LatticeGaussian
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


def log_determinant_by_rows(layer):
    """log det Λ as Σ_r log det S_r with S_r = A_r − B_rS_{r−1}⁻¹B_rᵀ, row of pixels by row, float64."""
    operator, height, width = layer.operator(), layer.height, layer.width
    diagonal, couplings = (np.asarray(field, np.float64) for field in operator.full_fields())
    total, before = 0.0, None
    for row in range(height):
        here = slice(max(row - 1, 0), row + 1)
        rows = min(row + 1, 2)
        pair = precision_matrix(diagonal[here], couplings[:, here], rows, width)
        schur = pair[-width:, -width:]
        if before is not None:
            across = pair[width:, :width]
            schur = schur - across @ np.linalg.solve(before, across.T)
        total += np.linalg.slogdet(schur)[1]
        before = schur
    return total


@pytest.mark.parametrize(
    "connectivity, weights, height, width",
    [
        (4, "shared", 600, 5),  # One axis by Fourier transform, the other by a product.
        (4, "shared", 5, 600),
        (8, "shared", 20, 60),  # With unequal diagonals the sine transform is no help.
        (4, "per_edge", 60, 30),
        (8, "per_edge", 30, 60),
    ],
)
def test_log_determinants_are_those_of_a_recursion(connectivity, weights, height, width):
    layer = large_layer(connectivity, weights, height, width)
    exact = float(layer.operator().log_determinant())
    assert exact == pytest.approx(log_determinant_by_rows(layer), rel=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize(
    "weights, side, seconds", [("shared", 1024, (0.3, 0.5)), ("per_edge", 128, (1, 1)), ("per_edge", 256, (10, 10))]
)
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
