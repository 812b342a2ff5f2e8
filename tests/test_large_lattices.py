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
        (4, "shared", 600, 12),  # One axis by Fourier transform, the other by a product.
        (4, "shared", 10, 700),
        (8, "shared", 40, 130),  # With unequal diagonals the sine transform is no help.
        (4, "per_edge", 90, 40),
        (8, "per_edge", 40, 90),
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


def test_what_does_not_fit_is_refused_beforehand(monkeypatch):
    gaussian = LatticeGaussian(large_layer(4, "per_edge", 256, 256))
    monkeypatch.setattr(memory, "available", lambda: 100e6)
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"256 × 256 .* needs about .* GB of memory and 0.1 GB are free"):
        gaussian.sample_by_factor(1, seed=0)
    with pytest.raises(ValueError, match="Λ of 256 × 256 pixels as a dense matrix needs about 69 GB"):
        gaussian.precision.to_dense()
    assert time.monotonic() - start < 2
