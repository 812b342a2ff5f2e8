"""Every number of a LatticeGaussian over random lattices, against NumPy in float64, and its samples."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conftest import random_layer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lattice_oracle import covariance_errors, precision_matrix, random_fields

from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.operator import LinearOperatorLattice
from assignment.lattice.precision import StencilPrecision

# Of the operator and of the mean.
BATCHES = [((), None), ((), ()), ((), (2,)), ((3,), None), ((3,), (2, 1)), ((2, 1), (3,))]


# The same examples at every run, and none kept between runs.
shared = [HealthCheck.function_scoped_fixture]
exactly = settings(max_examples=50, derandomize=True, database=None, deadline=None, suppress_health_check=shared)
kinds = st.builds(
    SimpleNamespace,
    connectivity=st.sampled_from([4, 8]),
    weights=st.sampled_from(["shared", "per_edge"]),
    margin=st.sampled_from([0.05, 0.5, 3.0]),
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    batches=st.sampled_from(BATCHES),
    dtype=st.sampled_from(["float32", "float64"]),
)


def lattice(kind):
    """(the distribution, Λ [..., D, D], μ [..., D]), the latter in float64."""
    random, size, dtype = np.random.default_rng(kind.seed), kind.size, kind.dtype
    batch, mean_batch = kind.batches
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
@given(kind=kinds)
def test_densities_roots_and_solves(kind, eager):
    """Both factors A of the samplers have AAᵀ = Λ⁻¹; they and log Z are in float64 whatever the dtype of Λ."""
    (gaussian, matrix, mean), size, dtype = lattice(kind), kind.size, kind.dtype
    operator, pixels, tolerance = gaussian.operator(), size[0] * size[1], 1e-10 if dtype == "float64" else 1e-5
    random = np.random.default_rng(1)

    x = random.standard_normal((4, *gaussian.batch_shape, *size)).astype(dtype)
    from_mean = x.reshape(*x.shape[:-2], pixels) - mean
    score = -np.einsum("...ij,...j->...i", matrix, from_mean)
    exponent = 0.5 * np.sum(score * from_mean, axis=-1)
    log_partition = 0.5 * (pixels * np.log(2 * np.pi) - np.linalg.slogdet(matrix)[1])
    close(gaussian.score(x), score.reshape(x.shape), tolerance)
    agree(gaussian.unnormalized_log_prob(x), exponent, dtype, pixels)
    agree(gaussian.log_partition(), log_partition, "float64", pixels)
    agree(gaussian.log_prob(x), exponent - log_partition, dtype, pixels)
    agree(gaussian.entropy(), pixels / 2 + log_partition + np.zeros(gaussian.batch_shape), dtype, pixels)

    covariance, batch = np.linalg.inv(matrix), matrix.shape[:-2]
    units = np.eye(pixels).reshape(pixels, *[1] * len(batch), *size) + np.zeros((pixels, *batch, *size))
    symmetric, factor = (
        np.reshape(root(tf.constant(units)), (pixels, *batch, pixels))
        for root in (operator.inverse_root_images, operator.sampler().colour)
    )
    for columns in (symmetric, factor):
        close(np.einsum("i...p,i...q->...pq", columns, columns), covariance, 1e-10)
    np.testing.assert_allclose(symmetric, np.swapaxes(symmetric, 0, -1), rtol=0, atol=1e-10)
    right = random.standard_normal((*batch, pixels, 3)).astype(dtype)
    close(operator.solve(right), np.linalg.solve(matrix, right), tolerance)
    close(gaussian.covariance(), covariance + np.zeros((*gaussian.batch_shape, 1, 1)), tolerance)
    close(operator.min_eigenvalue(), np.full(batch, kind.margin), 1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("draw", ["sample", "sample_by_factor"])
def test_samples_have_the_covariance_within_its_standard_errors(layer, draw):
    mean, count = np.random.default_rng(3).standard_normal((5, 4)), 40_000
    x = getattr(LatticeGaussian(layer, mean), draw)(count, seed=(1, 2)).numpy()
    sigma = np.linalg.inv(layer.to_dense())
    z = covariance_errors(x, sigma)
    assert np.abs(z).max() < 4.5 and 0.8 < z.std() < 1.2
    assert np.abs((x.mean(0) - mean).ravel() / np.sqrt(np.diag(sigma) / count)).max() < 4.5


def test_sample_is_the_symmetric_root_applied_to_standard_normal_numbers():
    """x' = μ + Aε: with the same ε, the dense A = Λ^(−½) gives the same image."""
    layer = random_layer(8, "per_edge", 5, 4)
    gaussian = LatticeGaussian(layer)
    seed = tfp.random.sanitize_seed((5, 6))
    noise = tf.random.stateless_normal([3, 5, 4], seed, dtype=tf.float64).numpy().reshape(3, 20)
    values, vectors = np.linalg.eigh(layer.to_dense())
    expected = noise @ (vectors / np.sqrt(values)) @ vectors.T
    np.testing.assert_allclose(np.reshape(gaussian.sample(3, seed=seed), (3, 20)), expected, rtol=1e-10, atol=1e-10)


def test_float32_is_within_its_rounding_at_28_by_28():
    precise = random_layer(4, "per_edge", 28, 28)
    single = StencilPrecision(4, "per_edge")
    single.build((28, 28))
    single.assign_theta(precise.theta.numpy())
    x = LatticeGaussian(precise).sample(20, seed=1)
    found = LatticeGaussian(single).log_prob(tf.cast(x, tf.float32))
    np.testing.assert_allclose(found, LatticeGaussian(precise).log_prob(x), rtol=0, atol=1e-4 * 784)
