"""All fits have one shape: the same result, the same words for what is wrong, and an honest distance to the optimum."""

from dataclasses import FrozenInstanceError
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conftest import random_layer

from assignment.data.images import Images
from assignment.exercise.estimators import ESTIMATORS
from assignment.fits import fixed_nce
from assignment.fits.conditional_nce import fit_conditional_nce
from assignment.fits.fixed_nce import fit, fit_nce
from assignment.fits.maximum_likelihood import fit_maximum_likelihood, maximise, suboptimality
from assignment.fits.score_matching import fit_score_matching
from assignment.fits.telescoped_nce import fit_telescoped_nce
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import data_moments, double, mean_log_likelihood
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.maximum_likelihood import MaximumLikelihood
from assignment.seeds import MOST, PURPOSES, seed_pair

tfd = tfp.distributions
X = LatticeGaussian(random_layer(4, "shared", 5, 4, seed=7)).sample_by_factor(600, seed=(0, 1)).numpy().astype("f4")
DARK = np.where(np.arange(4) == 0, 0, X)  # its first column is zero in every image
NOISE = tfd.Independent(tfd.Normal(tf.zeros([5, 4]), X.std()), 2)  # any distribution on images


def fit_likelihood(layer, images, optimizer="adam", **options):
    return fit(layer, MaximumLikelihood(), images, optimizer, **options)


FITS = {
    "nce": partial(fit_nce, noise=NOISE, epochs=20, batch_size=12),
    "telescoped": partial(fit_telescoped_nce, passes=1),
    "matched": partial(fit_conditional_nce, steps=40, noise_ratio=64),
    "isotropic": partial(fit_conditional_nce, variant="isotropic", steps=40, noise_ratio=64),
    "preconditioned": partial(fit_score_matching, steps=40),
    "plain": partial(fit_score_matching, variant="plain", steps=40),
    "general": partial(fit_likelihood, epochs=10, batch_size=50),
    "likelihood": fit_maximum_likelihood,
}
STEPS, PLAIN = {"loss", "halvings"}, {"optimum_min_eigenvalue", "loss_at_fit", "loss_at_optimum"}
STAGES = {f"stage_{name}" for name in ("step", "theta", "log_partition", "standard_error", "spread", "overlap")}
HISTORY = {
    "nce": STEPS | {"log_partition", "snapshot_step", "snapshot_theta"},
    "telescoped": STEPS | STAGES | {"log_partition", "passes"},
    "matched": STEPS | {"epsilon"},
    "isotropic": STEPS | PLAIN | {"epsilon"},
    "preconditioned": STEPS,
    "plain": STEPS | PLAIN,
    "general": STEPS | {"snapshot_step", "snapshot_theta"},
    "likelihood": {"loss"},
}


def start(height=5, width=4, weights="shared", dtype="float32"):
    layer = StencilPrecision(4, weights, dtype=dtype)
    layer.build((None, height, width))
    return layer


def start_per_edge():
    return start(weights="per_edge")


@pytest.fixture(scope="module", params=FITS)
def fitted(request):
    """(name, layer, result, how often progress was called)."""
    layer, calls = StencilPrecision().match_variances(X), []
    images = Images(X, X[0], "made up", "made_up", "", False) if request.param in ("telescoped", "likelihood") else X
    result = FITS[request.param](layer, images, seed=1, progress=lambda *said: calls.append(said))
    return request.param, layer, result, calls


def test_the_result_has_the_one_shape(fitted):
    name, layer, result, calls = fitted
    assert isinstance(result.model, LatticeGaussian) and result.model.location is None
    assert result.model.precision is layer and layer.operator().positive_definite()
    assert set(result.history) == HISTORY[name]
    assert all(isinstance(a, (np.ndarray, np.generic)) and np.isfinite(a).all() for a in result.history.values())
    steps = len(result.history["loss"])
    for by_step in HISTORY[name] & {"log_partition", "epsilon"}:
        assert result.history[by_step].shape == (steps,)
    said_steps, of, words = calls[-1]
    assert said_steps == steps - (name == "likelihood") and of in (None, steps) and words
    assert result.status == "converged" and type(result.suboptimality) is float
    learns = name in ("nce", "telescoped")
    assert (type(result.log_partition) is float) == learns and (result.log_partition is None) != learns
    assert (result.standard_error is not None) == (name == "telescoped")
    if learns:
        assert abs(result.log_partition - float(result.model.log_partition())) < 0.3
    if name == "telescoped":
        stages = len(result.history["stage_step"])
        for key in STAGES:
            assert len(result.history[key]) == stages - (key in ("stage_spread", "stage_overlap"))
        np.testing.assert_array_equal(result.history["stage_theta"][-1], layer.theta)
        assert result.history["stage_step"][-1] == steps
        by_stages, error = (result.history[f"stage_{key}"][-1] for key in ("log_partition", "standard_error"))
        assert abs(by_stages - result.log_partition) < 4.5 * error and result.standard_error < error
    with pytest.raises(FrozenInstanceError):
        result.status = "converged all the same"


def test_the_suboptimality_is_the_gap_to_the_maximum(fitted):
    name, layer, result, _ = fitted
    if name in ("isotropic", "plain"):
        return  # They pursue another optimum; test_score_matching.
    moments = data_moments(layer, [X])
    likelihoods = maximise(layer, moments, double(layer))[1]
    assert result.suboptimality == pytest.approx(likelihoods[-1] - likelihoods[0], rel=0.1, abs=1e-9)
    assert 0 <= result.suboptimality < 0.01


def test_without_a_number_of_passes_few_images_are_passed_over_more_often(monkeypatch):
    """About STEPS steps, by minibatches of all 64 images or of 40 of 600; at least 3 passes."""
    for count, steps, made in ((64, 40, 40), (600, 80, 5 * 15), (600, 20, 3 * 15)):
        monkeypatch.setattr(fixed_nce, "STEPS", steps)
        result = fit_nce(StencilPrecision().match_variances(X), X[:count])
        assert len(result.history["loss"]) == made


def test_a_fit_that_is_not_converged_says_below_what_it_is():
    result = fit_nce(StencilPrecision().match_variances(X), X, "sgd", epochs=1, batch_size=12, noise_ratio=0.1)
    assert result.status == f"not converged: {result.suboptimality:.3g} nats below maximum likelihood"


def frozen(part):
    layer = start()
    (layer if part == "layer" else layer.theta).trainable = False
    return layer


# What is wrong: the layer, the images, options, and the error and its words, from whichever fit.
WRONG = {
    "no layer": (lambda: "lattice", X, {}, TypeError, "layer must be a StencilPrecision to be trained, not a str"),
    "unbuilt": (StencilPrecision, X, {}, ValueError, "layer must be built first"),
    "frozen": (lambda: frozen("layer"), X, {}, ValueError, "layer must be trainable"),
    "frozen theta": (lambda: frozen("theta"), X, {}, ValueError, "layer must be trainable"),
    "other size": (lambda: start(4, 4), X, {}, ValueError, "of the layer's size, 4 × 4 pixels, not 5 × 4"),
    "no edges": (lambda: start(5, 1), X[:, :, :1], {}, ValueError, "layer must have edges for every weight"),
    "one image": (start, X[0], {}, ValueError, "images must be a non-empty array [N, H, W], not one of shape (5, 4)"),
    "no images": (start, X[:0], {}, ValueError, "images must be a non-empty array [N, H, W]"),
    "ragged": (start, [[1.0], [1.0, 2.0]], {}, ValueError, "images must be an array [N, H, W]"),
    "8 bits": (start, np.ones((9, 5, 4), np.uint8), {}, ValueError, "images must be floating point, not uint8"),
    "complex": (start, 1j * X, {}, ValueError, "images must be floating point, not complex64"),
    "NaN": (start, np.where(X == X[3, 2, 1], np.nan, X), {}, ValueError, "images must be finite"),
    "beyond float32": (start, 1e39 * X.astype(float), {}, ValueError, "images must be finite"),
    "a dark column": (start_per_edge, DARK, {}, ValueError, "images must vary: the pixels of 5 of 20"),
    "float64": (lambda: start(dtype="float64"), X, {}, ValueError, "must be float32 to be trained by gradients"),
    "zeros": (start, 0 * X, {}, ValueError, "images must vary"),
    "twins": (
        start_per_edge,
        np.repeat(X[:, :, :2], 2, axis=2),
        {},
        ValueError,
        "the pixels (0, 0) and (0, 1) (row, column) are equal or opposite in every image",
    ),
    "seed −1": (start, X, dict(seed=-1), ValueError, "seed must be at least 0, not -1"),
    "seed 0.5": (start, X, dict(seed=0.5), TypeError, "seed must be an integer, not 0.5"),
    "seed 2⁴⁰": (start, X, dict(seed=2**40), ValueError, "seed must be at least 0 and below 2³¹, not 1099511627776"),
    "optimizer": (start, X, dict(optimizer="adma"), ValueError, "not 'adma'; did you mean 'adam'?"),
    "no optimizer": (start, X, dict(optimizer=None), ValueError, "optimizer must be one of sgd, rmsprop, adam or"),
    "batch of 0": (start, X, dict(batch_size=0), ValueError, "batch_size must be at least 1, not 0"),
    "batch of 1.5": (start, X, dict(batch_size=1.5), TypeError, "batch_size must be an integer, not 1.5"),
}


# The arguments that a fit has not; the general fit takes a model, which has words of its own.
LACKS = {
    "likelihood": ("optimizer", "no optimizer", "batch of 0", "batch of 1.5", "float64"),
    "general": ("no layer", "unbuilt"),
}


def test_every_estimator_is_among_the_fits_here():
    assert {row.fit for row in ESTIMATORS} <= {getattr(made, "func", made).__name__ for made in FITS.values()}


@pytest.mark.parametrize(("name", "case"), [(n, c) for n in FITS for c in WRONG if c not in LACKS.get(n, ())])
def test_what_is_wrong_is_said_in_the_same_words(name, case):
    layer, images, options, error, words = WRONG[case]
    with pytest.raises(error) as caught:
        FITS[name](layer(), images, **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_mean_that_is_a_variable_and_models_of_other_kinds_are_refused():
    mean = tf.Variable(tf.zeros([5, 4]))
    for model, error, words in (
        (LatticeGaussian(start(), mean=mean), ValueError, "model must have a constant mean"),
        (LatticeGaussian(start().operator()), TypeError, "not a LinearOperatorLattice"),
        ("lattice", TypeError, "model must be a LatticeGaussian or a StencilPrecision, not a str"),
    ):
        with pytest.raises(error, match=words):
            fit(model, MaximumLikelihood(), X)


def test_no_two_draws_share_a_seed():
    pairs = [seed_pair(seed, p, n) for seed in (0, 1) for p in PURPOSES for n in (0, 1, 2, MOST - 2, MOST - 1)]
    assert len(set(pairs)) == len(pairs) and max(max(pair) for pair in pairs) < 2**31
    for number in (-1, MOST):
        with pytest.raises(ValueError, match="number must be from 0 to"):
            seed_pair(0, "step", number)


@pytest.mark.parametrize(("connectivity", "weights"), [(c, w) for c in (4, 8) for w in ("shared", "per_edge")])
def test_suboptimality_is_the_gap_to_the_maximum_near_and_far(connectivity, weights):
    for seed, distance in enumerate((1e-3, 0.03, 0.3, 1.0)):
        layer = random_layer(connectivity, weights, *((2, 2) if seed == 1 else (5, 4)), seed=seed)
        count = 20 * len(layer.theta.numpy())
        x = LatticeGaussian(layer).sample_by_factor(count, seed=(seed, 0)).numpy()
        moments = data_moments(layer, [x])
        best = maximise(layer, moments, double(layer))[0]
        other = double(random_layer(connectivity, weights, layer.height, layer.width, seed=seed + 50))
        layer.assign_theta((1 - distance) * best + distance * other)
        gap = mean_log_likelihood(layer, moments, best) - mean_log_likelihood(layer, moments)
        assert gap > 1e-8 and 0.5 < suboptimality(layer, moments) / gap < 2, (seed, gap)
