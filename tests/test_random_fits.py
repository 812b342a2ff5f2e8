"""Random short fits, many of them hopeless: each ends positive definite and finite, or says why it cannot.

    RANDOM_FITS=1000 python -m pytest tests/test_random_fits.py

The averaged fits run eagerly: tracing takes longer than their few steps.
"""

import itertools
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from assignment.fits import averaging, bridges, maximum_likelihood, telescoped_nce
from assignment.fits.bridges import log_partition_from_diagonal
from assignment.fits.conditional_nce import fit_conditional_nce
from assignment.fits.fixed_nce import fit_nce
from assignment.fits.maximum_likelihood import fit_maximum_likelihood
from assignment.fits.result import FitResult
from assignment.fits.score_matching import fit_score_matching
from assignment.fits.telescoped_nce import fit_telescoped_nce
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.noise import DiagonalNoise
from assignment.training.step import OPTIMIZERS

FITS, BLOCKS = int(os.environ.get("RANDOM_FITS", 48)), 2
SIZES = [(1, 1), (1, 4), (3, 1), (2, 2), (4, 3)]
FAILURES = (ValueError, ArithmeticError, RuntimeError)


def traced(function):
    """The function, which runs in graphs."""

    def call(*arguments, **options):
        eager = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(False)
        try:
            return function(*arguments, **options)
        finally:
            tf.config.run_functions_eagerly(eager)

    return call


@pytest.fixture
def eager(monkeypatch):
    for module, name, value in (
        (telescoped_nce, "MAX_STEPS", 400),
        (telescoped_nce, "TOLERANCE", 1.0),
        (averaging, "MOST_STEPS", 20),
        (bridges, "STRAIGHT_ERROR", 0.5),
        (bridges, "PILOT", 50),
        (maximum_likelihood, "suboptimality", traced(maximum_likelihood.suboptimality)),
    ):
        monkeypatch.setattr(module, name, value)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@traced
def nce(layer, images, random, optimizer, seed):
    variances = np.full(images.shape[1:], images.var() * 10 ** random.uniform(-2, 2))
    noise, ratio = DiagonalNoise(variances), 10 ** random.uniform(-1, 1)
    return fit_nce(layer, images, optimizer, noise=noise, noise_ratio=ratio, epochs=1, batch_size=8, seed=seed)


@traced
def telescoped(layer, images, random, optimizer, seed):
    return fit_telescoped_nce(layer, images, optimizer, batch_size=16, passes=1, seed=seed)


@traced
def likelihood(layer, images, random, optimizer, seed):
    return fit_maximum_likelihood(layer, images)


@traced
def learned_log_partition(layer, images, random, optimizer, seed):
    return log_partition_from_diagonal(layer, seed)


def averaged(fit, variant, **options):
    def estimate(layer, images, random, optimizer, seed):
        return fit(layer, images, optimizer, variant=variant, steps=4, batch_size=8, seed=seed, **options)

    return estimate


ESTIMATES = {
    "nce": nce,
    "telescoped": telescoped,
    "cnce-isotropic": averaged(fit_conditional_nce, "isotropic", noise_ratio=2),
    "cnce-matched": averaged(fit_conditional_nce, "matched", noise_ratio=2),
    "sm-plain": averaged(fit_score_matching, "plain"),
    "sm-preconditioned": averaged(fit_score_matching, "preconditioned"),
    "ml": likelihood,
    "bridges": learned_log_partition,
}


def random_start(random, diagonal, dtype):
    """A layer of some scale, diagonal, or with couplings up to the border of the cone."""
    layer = StencilPrecision(int(random.choice([4, 8])), str(random.choice(["shared", "per_edge"])), dtype=dtype)
    sizes = SIZES[3:] if layer.shared and random.uniform() < 0.8 else SIZES  # The others have no edges for a weight.
    layer.build((None, *sizes[random.integers(len(sizes))]))
    pixels, scale = layer.group_sizes[0], 10 ** random.uniform(-4, 4)
    theta = scale * np.concatenate([random.uniform(0.5, 2, pixels), random.normal(size=layer.theta.shape[0] - pixels)])
    if diagonal:
        theta[pixels:] = 0
    layer.theta.assign(theta)
    while not layer.operator().positive_definite():
        theta[pixels:] *= 0.9
        layer.theta.assign(theta)
    return layer


def random_images(random, size):
    """Some images: of one variance or of many, independent or all alike, now and then with a dead pixel."""
    images = random.normal(size=(random.integers(8, 48), *size)) * 10 ** random.uniform(-3, 3)
    if random.uniform() < 0.3:
        images *= 10 ** random.uniform(-3, 3, size)
    if random.uniform() < 0.3:
        images = images * 1e-3 + images[:, :1, :1]
    if random.uniform() < 0.1:
        images[:, 0, 0] = 0
    return images.astype(np.float32)


def random_optimizer(random):
    name = str(random.choice(list(OPTIMIZERS)))
    return name if random.uniform() < 0.3 else OPTIMIZERS[name](10 ** random.uniform(-3, 6))


def is_sound(layer):
    matrix = layer.to_dense().numpy().astype(np.float64)
    return np.isfinite(matrix).all() and np.linalg.eigvalsh(matrix)[0] > 0


def numbers(result):
    """All numbers of a result."""
    if isinstance(result, FitResult):
        found = [result.log_partition, result.standard_error, result.suboptimality, *result.history.values()]
        result = [value for value in found if value is not None]
    return np.concatenate([np.ravel(value) for value in result])


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_fit_ends_indefinite_or_without_a_number(block, eager):
    ends = {"fitted": 0, "refused": 0}
    names = [*ESTIMATES, *(name for name in ESTIMATES if name != "telescoped")]  # The slowest half as often.
    for trial, name in zip(range(FITS // BLOCKS), itertools.cycle(names), strict=False):
        random = np.random.default_rng((block, trial))
        layer = random_start(random, name == "telescoped", "float64" if name == "ml" else "float32")
        images, optimizer = random_images(random, (layer.height, layer.width)), random_optimizer(random)
        keras.backend.clear_session()
        try:
            result = ESTIMATES[name](layer, images, random, optimizer, seed=trial)
        except FAILURES as error:
            assert len(str(error)) > 20, (name, block, trial, error)
            ends["refused"] += 1
        else:
            assert np.isfinite(numbers(result)).all(), (name, block, trial, result)
            ends["fitted"] += 1
        assert is_sound(layer), (name, block, trial, layer.theta.numpy())
    assert min(ends.values()) > 0, ends
