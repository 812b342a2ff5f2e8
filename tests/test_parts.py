"""What the parts save and keep, on the bundled sample."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conftest import random_layer

from assignment.batches import second_moments
from assignment.errors import UserError
from assignment.lattice.gaussian import LatticeGaussian
from assignment.parts.exercise import Exercise, Settings
from assignment.parts.plan import KINDS, done, plan, run
from assignment.parts.record import conditional_log_likelihood, save
from assignment.parts.unfinished import Unfinished

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def exercise():
    return Exercise(Settings(dataset="mnist_sample"))


@pytest.fixture
def settings(tmp_path):
    return Settings(dataset="mnist_sample", output=str(tmp_path))


def test_second_moments(monkeypatch):
    monkeypatch.setattr("assignment.batches.CHUNK_BYTES", 7 * 24)
    images = np.random.default_rng(0).standard_normal((50, 3, 2)).astype(np.float32)
    flat = images.reshape(50, 6).astype(np.float64)
    np.testing.assert_allclose(second_moments(images), flat.T @ flat / 50, atol=1e-6)


@pytest.mark.parametrize("weights", ["shared", "per_edge"])
def test_the_start_has_the_variances_of_the_data(exercise, weights):
    layer = exercise.new_layer(4, weights)
    variance = np.mean(exercise.train.take(len(exercise.train)).astype(np.float64) ** 2, axis=0)
    expected = np.mean(variance) if weights == "shared" else variance
    np.testing.assert_allclose(1 / layer.diagonal.numpy(), expected, rtol=1e-5)
    assert not np.any(layer.couplings)


def test_held_out_is_the_mean_over_test_images(exercise):
    layer = exercise.maximum_likelihood(4, "shared")[0]
    direct = np.mean(LatticeGaussian(layer).log_prob(tf.cast(exercise.test.take(len(exercise.test)), tf.float64)))
    assert exercise.held_out(layer) == pytest.approx(direct, abs=1e-4)


def test_conditional_log_likelihood_is_that_of_the_dense_gaussian():
    """log p(x_i | rest) = log p(x) − log p(x without pixel i)."""
    layer = random_layer(8, "per_edge", 3, 4)
    x = np.random.default_rng(0).standard_normal((20, 12))
    covariance = np.linalg.inv(layer.to_dense())

    def log_prob(keep):
        normal = tfp.distributions.MultivariateNormalFullCovariance(np.zeros(len(keep)), covariance[np.ix_(keep, keep)])
        return np.mean(normal.log_prob(x[:, keep]))

    pixels = list(range(12))
    expected = [log_prob(pixels) - log_prob([j for j in pixels if j != i]) for i in pixels]
    np.testing.assert_allclose(np.ravel(conditional_log_likelihood(layer, x.T @ x / 20)), expected, rtol=1e-9)


def test_bonus8_reruns_everything_with_both_neighbourhoods():
    planned = plan("bonus8", Settings())
    kinds = {(kind, s.connectivity, s.weights) for kind, _, s in planned}
    assert kinds == {(kind, k, w) for kind in KINDS for k in (4, 8) for w in ("shared", "per_edge")}
    assert all((home == "bonus8") == (s.connectivity == 8) for _, home, s in planned)


def test_a_finished_fit_is_kept_and_a_broken_or_other_one_is_not(exercise, settings):
    assert done("ml", "ml", exercise, settings) is None
    fit = run("ml", "ml", exercise, settings)
    assert done("ml", "ml", exercise, settings).record == fit.record
    assert done("ml", "ml", exercise, replace(settings, weights="per_edge")) is None
    assert done("ml", "ml", exercise, replace(settings, epochs=4)) is None
    whole = fit.path.read_bytes()
    fit.path.write_bytes(whole[: len(whole) // 2])
    assert done("ml", "ml", exercise, settings) is None
    run("ml", "ml", exercise, settings)
    assert fit.path.read_bytes() == whole


def test_a_run_goes_on_only_where_nothing_changed(tmp_path):
    """What an interrupted run finished is known to the next one of the same kind, and to no other."""
    with pytest.raises(KeyboardInterrupt), Unfinished(tmp_path, "nce", {"seed": 0}) as first:
        first.finish("a")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), Unfinished(tmp_path, "nce", {"seed": 0}) as second:
        assert second.has("a") and not second.has("b")
        raise KeyboardInterrupt
    with Unfinished(tmp_path, "cnce", {"seed": 0}) as other_part:
        assert not other_part.has("a")
    with pytest.raises(KeyboardInterrupt), Unfinished(tmp_path, "nce", {"seed": 1}) as other_seed:
        assert not other_seed.has("a")
        raise KeyboardInterrupt
    with Unfinished(tmp_path, "nce", {"seed": 0}) as begun_anew:
        assert not begun_anew.has("a")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_part_is_run_once_at_a_time_into_a_folder(tmp_path):
    with Unfinished(tmp_path, "nce", {}), pytest.raises(UserError, match="part nce is being run into .* already; wait"):
        Unfinished(tmp_path, "nce", {}).__enter__()
    with Unfinished(tmp_path, "nce", {}), Unfinished(tmp_path, "cnce", {}):
        pass


def test_a_fit_far_below_the_ceiling_has_failed(exercise, settings):
    start = exercise.new_layer(4, "shared")
    fit = save(exercise, settings, "sm", "sm", "plain", start, seconds=0, steps=0, arrays={"loss": [0.0]})
    gap = fit.record["held_out"]["gap"]
    assert gap > 100 and fit.record["status"] == f"failed: the fit is {gap:.1f} nats below the ceiling"
    best = exercise.maximum_likelihood(4, "shared")[0]
    fit = save(exercise, settings, "sm", "sm", "plain", best, seconds=0, steps=0, arrays={"loss": [0.0]})
    assert fit.record["status"] == "converged"
