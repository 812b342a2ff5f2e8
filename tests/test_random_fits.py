"""Random short fits, many of them hopeless: each ends positive definite and finite, or says why it cannot.

RANDOM_FITS=1000 python -m pytest tests/test_random_fits.py
"""

import itertools
import os

import numpy as np
import pytest
from conftest import random_layer

from assignment.fits import averaging, bridges, telescoped_nce
from assignment.fits.averaging import SHORT_OF_BORDER
from assignment.fits.bridges import log_partition_from_diagonal
from assignment.fits.conditional_nce import fit_conditional_nce
from assignment.fits.fixed_nce import fit_nce
from assignment.fits.maximum_likelihood import fit_maximum_likelihood
from assignment.fits.result import FitResult
from assignment.fits.score_matching import fit_score_matching
from assignment.fits.telescoped_nce import fit_telescoped_nce
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.nce import DiagonalNoise
from assignment.training.step import OPTIMIZERS

FITS, BLOCKS = int(os.environ.get("RANDOM_FITS", 48)), 2
SIZES = [(1, 1), (1, 4), (3, 1), (2, 2), (4, 3)]
FAILURES = (ValueError, ArithmeticError, RuntimeError)


@pytest.fixture
def short(monkeypatch, eager):
    """Fits of few steps, without graphs."""
    for module, name, value in (
        (telescoped_nce, "MAX_STEPS", 400),
        (telescoped_nce, "MOST_NATURAL", 3),
        (telescoped_nce, "TOLERANCE", 1.0),
        (averaging, "MOST_STEPS", 20),
        (bridges, "STRAIGHT_ERROR", 0.5),
        (averaging, "ROUNDS", 2),
        (bridges, "PILOT", 50),
    ):
        monkeypatch.setattr(module, name, value)


def nce(layer, images, random, optimizer, seed):
    variances = np.full(images.shape[1:], images.var() * 10 ** random.uniform(-2, 2))
    noise, ratio = DiagonalNoise(variances), 10 ** random.uniform(-1, 1)
    return fit_nce(layer, images, optimizer, noise=noise, noise_ratio=ratio, epochs=1, batch_size=8, seed=seed)


def telescoped(layer, images, random, optimizer, seed):
    return fit_telescoped_nce(layer, images, optimizer, batch_size=16, passes=1, seed=seed)


def likelihood(layer, images, random, optimizer, seed):
    return fit_maximum_likelihood(layer, images)


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
def test_no_fit_ends_indefinite_or_without_a_number(block, short):
    ends = {"fitted": 0, "refused": 0}
    names = [*ESTIMATES, *(name for name in ESTIMATES if name != "telescoped")]  # The slowest half as often.
    for trial, name in zip(range(FITS // BLOCKS), itertools.cycle(names), strict=False):
        random = np.random.default_rng((block, trial))
        layer = random_start(random, name == "telescoped", "float64" if name == "ml" else "float32")
        images, optimizer = random_images(random, (layer.height, layer.width)), random_optimizer(random)
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


def nearly_singular(count, scale=1.0):
    """Images of 4 × 4 pixels of a Λ with the least eigenvalue 0.004/scale²; a layer that matches their variances."""
    truth = random_layer(4, "per_edge", 4, 4, seed=1, least=4e-3)
    images = scale * LatticeGaussian(truth).sample_by_factor(count, seed=(0, 1)).numpy().astype(np.float32)
    return StencilPrecision(4, "per_edge").match_variances(images), images


# What random problems have found: fits that ended nats away from their optimum.
@pytest.mark.parametrize(
    ("fit", "variant", "optimizer", "scale"),
    [
        (fit_score_matching, "plain", "sgd", 1.0),
        (fit_score_matching, "plain", "rmsprop", 1e3),  # The gradients are below the epsilon of Keras.
        (fit_conditional_nce, "isotropic", "adam", 1e-3),
    ],
)
def test_an_ill_conditioned_loss_is_minimised_all_the_same(fit, variant, optimizer, scale):
    layer, images = nearly_singular(1000, scale)
    result = fit(layer, images, optimizer, variant=variant)
    assert result.status == "converged" and result.suboptimality < 1e-3


@pytest.mark.slow
def test_telescoped_fit_of_few_images_costs_a_tenth_of_their_sampling():
    layer, images = nearly_singular(10)
    result = fit_telescoped_nce(layer, images, "sgd")
    assert result.suboptimality < 0.1 * 40 / (2 * 10)


def test_a_fit_that_has_not_come_to_the_border_does_not_say_so():
    layer, images = nearly_singular(4)
    result = fit_score_matching(layer, images, "sgd", variant="plain", steps=4)
    assert result.history["optimum_min_eigenvalue"] < 0 and result.history["halvings"] == 0
    assert result.status.startswith(SHORT_OF_BORDER) and result.suboptimality is None


@pytest.mark.parametrize("fit", [fit_telescoped_nce, fit_conditional_nce, fit_score_matching])
def test_a_refused_call_leaves_the_layer_as_it_was(fit):
    images = 1e3 * np.random.default_rng(0).standard_normal((50, 4, 4)).astype(np.float32)  # far from the identity
    layer = StencilPrecision()
    layer.build(images.shape)
    with pytest.raises(ValueError, match="must be one of sgd, rmsprop, adam or a Keras optimizer, not 'adma'"):
        fit(layer, images, "adma")
    np.testing.assert_array_equal(layer.theta, [1, 0, 0])
