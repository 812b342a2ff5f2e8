"""Random short fits, many of them hopeless: each ends positive definite and finite, or says why it cannot.

    RANDOM_FITS=1000 python -m pytest tests/test_random_fits.py

Functions run eagerly here, but for the many steps of telescoped NCE: tracing takes longer than these few.
"""

import itertools
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from assignment.batches import second_moments
from assignment.estimators import bridges, telescoping
from assignment.estimators.bridges import bridge_from_diagonal
from assignment.estimators.following import fit_conditional_nce, fit_score_matching
from assignment.estimators.maximum_likelihood import fisher_scoring
from assignment.estimators.nce import NCE
from assignment.estimators.telescoping import telescope
from assignment.fit import OPTIMIZERS, fit
from assignment.lattice.information import pool_moments
from assignment.lattice.precision import StencilPrecision

FITS, BLOCKS = int(os.environ.get("RANDOM_FITS", 64)), 2
FAILURES = (ValueError, ArithmeticError, RuntimeError)


@pytest.fixture
def eager(monkeypatch):
    for module, name, value in (
        (telescoping, "MAX_STEPS", 400),
        (telescoping, "TOLERANCE", 1.0),
        (bridges, "SAMPLES_PER_NAT", 100),
        (bridges, "PILOT", 50),
    ):
        monkeypatch.setattr(module, name, value)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def nce(layer, images, random, optimizer, seed):
    deviations = np.full(images.shape[1:], images.std() * 10 ** random.uniform(-1, 1), np.float32)
    noise = tfp.distributions.Independent(tfp.distributions.Normal(tf.zeros(images.shape[1:]), deviations), 2)
    estimator = NCE(noise, noise_ratio=10 ** random.uniform(-1, 1))
    return fit(layer, estimator, images, optimizer, epochs=1, batch_size=8, seed=seed)


def telescoped(layer, images, random, optimizer, seed):
    tf.config.run_functions_eagerly(False)
    try:
        stages, history = telescope(layer, images, optimizer, batch_size=16, passes=1, seed=seed)
    finally:
        tf.config.run_functions_eagerly(True)
    return history | {"stages": [(stage.log_partition, stage.variance) for stage in stages]}


def conditional(variant):
    def estimate(layer, images, random, optimizer, seed):
        options = {"steps": 4, "batch_size": 8, "noise_ratio": 2, "seed": seed}
        return fit_conditional_nce(layer, images, variant, optimizer, **options)

    return estimate


def matching(variant):
    def estimate(layer, images, random, optimizer, seed):
        return fit_score_matching(layer, images, variant, optimizer, steps=4, batch_size=8, seed=seed)

    return estimate


def maximum_likelihood(layer, images, random, optimizer, seed):
    return {"loss": fisher_scoring(layer, pool_moments(layer, second_moments(images)))}


def learned_log_partition(layer, images, random, optimizer, seed):
    return {"log_partition": bridge_from_diagonal(layer, seed)}


ESTIMATES = {
    "nce": nce,
    "telescoped": telescoped,
    "cnce-isotropic": conditional("isotropic"),
    "cnce-matched": conditional("matched"),
    "sm-plain": matching("plain"),
    "sm-preconditioned": matching("preconditioned"),
    "ml": maximum_likelihood,
    "bridges": learned_log_partition,
}


def random_start(random, diagonal, dtype):
    """A layer of some scale, diagonal, or with couplings up to the border of the cone."""
    layer = StencilPrecision(int(random.choice([4, 8])), str(random.choice(["shared", "per_edge"])), dtype=dtype)
    layer.build((None, *random.integers(1, 5, 2)))
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
    """All numbers of a result, however nested."""
    values = [value for value in tf.nest.flatten(result) if not isinstance(value, str)]
    return np.asarray(values, np.float64)


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
