"""Every number of a LatticeGaussian, over random lattices, against TFP's normal for a factor of Λ, and NumPy.

The oracle works in float64 on the same weights: float64 agrees to 1e-10 of its size, float32 to 1e-4 nats per pixel.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from hypothesis import given, settings
from hypothesis import strategies as st
from lattice_oracle import precision_matrix, random_fields

from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.operator import LinearOperatorLattice
from assignment.lattice.precision import StencilPrecision

# Of the operator and of the mean.
BATCHES = [((), None), ((), ()), ((), (2,)), ((3,), None), ((3,), (2, 1)), ((2, 1), (3,))]

# The same examples at every run, and none kept between runs.
exactly = settings(max_examples=60, derandomize=True, database=None, deadline=None)


@pytest.fixture(autouse=True, scope="module")
def eager():
    """Every example has its own shapes, and would be traced anew."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@st.composite
def kinds(draw):
    return SimpleNamespace(
        connectivity=draw(st.sampled_from([4, 8])),
        weights=draw(st.sampled_from(["shared", "per_edge"])),
        margin=draw(st.sampled_from([0.05, 0.5, 3.0])),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))
dtypes = st.sampled_from(["float32", "float64"])
batches = st.sampled_from(BATCHES)


def lattice(kind, size, batches, dtype):
    """(the distribution, Λ [..., D, D], μ [..., D]), the latter in float64."""
    random = np.random.default_rng(kind.seed)
    batch, mean_batch = batches
    fields = random_fields(random, kind.connectivity, kind.weights, *size, batch, kind.margin)
    diagonal, couplings = (field.astype(dtype) for field in fields)
    mean = None if mean_batch is None else random.standard_normal((*mean_batch, *size)).astype(dtype)
    matrix = precision_matrix(diagonal, couplings, *size)
    if batch:
        precision = LinearOperatorLattice(diagonal, couplings, *size)
    else:
        precision = StencilPrecision(kind.connectivity, kind.weights, dtype=dtype)
        precision.build(size)
        precision.assign(
            np.reshape(diagonal, precision.diagonal.shape), np.reshape(couplings, precision.couplings.shape)
        )
    flat = np.zeros(matrix.shape[-1]) if mean is None else mean.reshape(*mean.shape[:-2], -1).astype(np.float64)
    return LatticeGaussian(precision, mean), matrix, flat


def oracle(matrix, mean):
    factor = tf.linalg.LinearOperatorLowerTriangular(tf.linalg.cholesky(matrix))
    return tfp.experimental.distributions.MultivariateNormalPrecisionFactorLinearOperator(mean, factor)


def agree(ours, theirs, dtype, pixels):
    """Nats: 1e-10 of their size, or in float32 1e-4 for each pixel."""
    assert ours.shape == np.shape(theirs)
    tolerance = dict(rtol=1e-10, atol=1e-10) if dtype == "float64" else dict(rtol=0, atol=1e-4 * pixels)
    np.testing.assert_allclose(ours, theirs, **tolerance)


def close(ours, theirs, tolerance):
    """Relative to the greatest entry."""
    assert ours.shape == np.shape(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@pytest.mark.slow
@exactly
@given(kinds(), sizes, batches, dtypes)
def test_densities(kind, size, batches, dtype):
    gaussian, matrix, mean = lattice(kind, size, batches, dtype)
    normal, pixels = oracle(matrix, mean), size[0] * size[1]
    x = np.random.default_rng(1).standard_normal((4, *gaussian.batch_shape, *size)).astype(dtype)
    flat = x.reshape(*x.shape[:-2], pixels).astype(np.float64)
    log_partition = 0.5 * (pixels * np.log(2 * np.pi) - np.linalg.slogdet(matrix)[1])
    score = -np.einsum("...ij,...j->...i", matrix, flat - mean)
    exponent = 0.5 * np.sum(score * (flat - mean), axis=-1)
    close(gaussian.score(x), score.reshape(x.shape), 1e-10 if dtype == "float64" else 1e-5)
    agree(gaussian.log_partition(), log_partition, "float64", pixels)
    agree(gaussian.unnormalized_log_prob(x), exponent, dtype, pixels)
    agree(gaussian.log_prob(x), normal.log_prob(flat), dtype, pixels)
    agree(gaussian.entropy(), normal.entropy() + np.zeros(gaussian.batch_shape), dtype, pixels)


@pytest.mark.slow
@exactly
@given(kinds(), sizes, batches, dtypes)
def test_roots_and_solves(kind, size, batches, dtype):
    """Both factors A of the samplers have AAᵀ = Λ⁻¹, in float64 whatever the dtype of Λ."""
    gaussian, matrix, _ = lattice(kind, size, batches, dtype)
    operator, pixels = gaussian.operator(), size[0] * size[1]
    covariance, batch = np.linalg.inv(matrix), matrix.shape[:-2]
    units = np.eye(pixels).reshape(pixels, *[1] * len(batch), *size) + np.zeros((pixels, *batch, *size))
    for root in (operator.inverse_root_images, operator.sampler().colour):
        columns = np.reshape(root(tf.constant(units)), (pixels, *batch, pixels))
        close(np.einsum("i...p,i...q->...pq", columns, columns), covariance, 1e-10)
    symmetric = np.reshape(operator.inverse_root_images(units), (pixels, *batch, pixels))
    np.testing.assert_allclose(symmetric, np.swapaxes(symmetric, 0, -1), rtol=0, atol=1e-10)
    tolerance = 1e-10 if dtype == "float64" else 1e-5
    right = np.random.default_rng(1).standard_normal((*batch, pixels, 3)).astype(dtype)
    close(operator.solve(right), np.linalg.solve(matrix, right), tolerance)
    close(gaussian.covariance(), covariance + np.zeros((*gaussian.batch_shape, 1, 1)), tolerance)
    close(operator.log_determinant(), np.linalg.slogdet(matrix)[1], 1e-10)
    close(operator.min_eigenvalue(), np.full(batch, kind.margin), 1e-10 if dtype == "float64" else 1e-4)
