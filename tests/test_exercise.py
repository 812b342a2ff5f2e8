"""What the parts are made of, what they save, and what they keep."""

import json
import tracemalloc
from dataclasses import asdict, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conftest import random_layer
from small_parts import small

import assignment
from assignment.command_line import parser
from assignment.exercise import record, run
from assignment.exercise.data import ExerciseData
from assignment.exercise.estimators import ESTIMATORS
from assignment.exercise.plan import flip, plan
from assignment.exercise.record import Trained, _arrays, _likelihoods, save
from assignment.exercise.settings import FITTING, PARTS, Settings
from assignment.fits.result import FitResult
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision
from assignment.training.step import OPTIMIZERS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    options = parser().parse_args(["ml", *map(str, small(tmp_path_factory.mktemp("images")))])
    found = ExerciseData(Settings(images=options.images, data_dir=options.data_dir))
    found.options = {"images": options.images, "data_dir": options.data_dir}
    return found


@pytest.fixture
def settings(data, tmp_path):
    return Settings(**data.options, output=str(tmp_path))


def test_every_estimator_names_functions_that_there_are():
    assert len({(row.name, row.variant) for row in ESTIMATORS}) == len(ESTIMATORS)
    for row in ESTIMATORS:
        assert callable(getattr(assignment, row.fit)) and row.name in FITTING
        for name in filter(None, [row.arguments, row.findings]):
            assert callable(getattr(record, name))


def test_options_and_defaults_are_those_of_the_settings():
    for part in PARTS:
        options = vars(parser().parse_args([part]))
        expected = {field.name: field.default for field in fields(Settings) if part in field.metadata["parts"]}
        assert options == {"part": part, **expected}
    (field,) = (field for field in fields(Settings) if field.name == "optimizer")
    assert set(field.metadata["argument"]["choices"]) == set(OPTIMIZERS)


def test_the_coin_is_decided_by_its_seed():
    outcomes = [flip(seed) for seed in range(200)]
    assert outcomes == [flip(seed) for seed in range(200)]
    assert set(outcomes) == {("heads", "cnce"), ("tails", "sm")}
    assert 70 < sum(outcome == ("heads", "cnce") for outcome in outcomes) < 130
    for seed in range(4):
        assert {fit.row.name for fit in plan("second", Settings(coin_seed=seed))} == {outcomes[seed][1]}


def test_bonus8_makes_everything_with_both_neighbourhoods():
    planned = plan("bonus8", Settings())
    kinds = {(row.label, s.connectivity, s.weights) for row, _, s in planned}
    assert kinds == {(row.label, k, w) for row in ESTIMATORS for k in (4, 8) for w in ("shared", "per_edge")}
    assert all(part == ("bonus8" if s.connectivity == 8 else row.name) for row, part, s in planned)


def test_held_out_is_the_mean_over_test_images(data):
    layer = data.maximum_likelihood(4, "per_edge")[0]
    direct = np.mean(LatticeGaussian(layer).log_prob(tf.cast(data.test.images, tf.float64)))
    assert data.held_out(layer) == pytest.approx(direct, abs=64 * 6e-8)  # float32 products
    assert data.held_out(layer, 0.5 * layer.theta.numpy()) < data.held_out(layer)


def test_the_covariance_of_the_middle_pixel(data):
    flat = data.train.images.reshape(-1, 64).astype(np.float64)
    expected = (flat.T @ flat / len(flat))[4 * 8 + 4].reshape(8, 8)
    np.testing.assert_allclose(data.middle_covariance(), expected, rtol=1e-9)


def test_conditional_log_likelihood_is_that_of_the_dense_gaussian():
    """log p(x_i | rest) = log p(x) − log p(x without pixel i)."""
    layer = random_layer(8, "per_edge", 3, 4)
    x = np.random.default_rng(0).standard_normal((20, 3, 4))
    covariance = np.linalg.inv(layer.to_dense())

    def log_prob(keep):
        normal = tfp.distributions.MultivariateNormalFullCovariance(np.zeros(len(keep)), covariance[np.ix_(keep, keep)])
        return normal.log_prob(x.reshape(20, 12)[:, keep]).numpy()

    pixels = list(range(12))
    whole = log_prob(pixels)
    expected = [np.mean(whole - log_prob([j for j in pixels if j != i])) for i in pixels]
    likelihoods, conditional = _likelihoods(layer.operator(), x)
    np.testing.assert_allclose(likelihoods, whole, rtol=1e-9)
    np.testing.assert_allclose(np.ravel(conditional), expected, rtol=1e-9)


def test_what_is_saved_takes_no_matrix_of_all_pixels(data):
    """Of 64 × 64 pixels Λ or Σ in full would be 134 MB."""
    random = np.random.default_rng(0)
    train, test = (
        replace(split, images=random.standard_normal((8, 64, 64)).astype(np.float32), mean=np.zeros((64, 64), "f"))
        for split in (data.train, data.test)
    )
    large = object.__new__(ExerciseData)
    large.train, large.test = train, test
    layer = StencilPrecision().match_variances(train.images)
    fitted = trained(large, Settings(), layer)
    tracemalloc.start()
    arrays = _arrays(fitted)
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert arrays["covariance_fitted"].shape == (64, 64) and largest < 2e7


def test_a_finished_fit_is_kept_and_a_broken_or_other_one_is_not(data, settings, monkeypatch):
    (planned,) = plan("ml", settings)
    assert run._kept(planned, data) is None
    fit = run._fit(planned, data)
    assert run._kept(planned, data).record == fit.record
    for change in (dict(weights="per_edge"), dict(epochs=4), dict(seed=1)):
        assert run._kept(planned._replace(settings=replace(settings, **change)), data) is None
    monkeypatch.setattr(data, "train", replace(data.train, sha256="0" * 64))
    assert run._kept(planned, data) is None
    monkeypatch.undo()
    whole = fit.path.read_bytes()
    fit.path.write_bytes(whole[: len(whole) // 2])
    assert run._kept(planned, data) is None
    run._fit(planned, data)
    assert fit.path.read_bytes() == whole


def test_a_part_of_many_fits_goes_on_with_those_that_are_missing(settings, monkeypatch, capsys):
    """Interrupted after the first of two fits; --fresh makes both again. It says which of them comes next."""
    families = [replace(settings, connectivity=8), settings]
    planned = [plan("ml", family)[0]._replace(part="bonus8") for family in families]
    monkeypatch.setattr(run, "plan", lambda part, _: planned)
    monkeypatch.setattr(run, "_present", lambda *_: None)
    made, make = [], run._fit

    def interrupted(fit, data):
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(fit)
        return make(fit, data)

    options = asdict(settings)
    monkeypatch.setattr(run, "_fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.run_part("bonus8", options)
    monkeypatch.setattr(run, "_fit", lambda fit, data: made.append(fit) or make(fit, data))
    run.run_part("bonus8", options)
    assert [fit.settings for fit in made] == families
    capsys.readouterr()
    run.run_part("bonus8", options | {"fresh": True})
    assert len(made) == 4
    said = capsys.readouterr().err
    assert "fit 1 of 2\n" in said and "fit 2 of 2" in said
    done = SimpleNamespace(record={"seconds": 59.0})
    assert run._left(7, [done, done]) == "fit 3 of 7, about 5 min left"


def trained(data, settings, layer, status="converged"):
    result = FitResult(LatticeGaussian(layer), None, None, status, 0.25, {"loss": np.zeros(3)})
    return Trained(data, ESTIMATORS[4], "sm", settings, layer, result, seconds=1.0)


def test_a_fit_far_below_the_ceiling_has_failed(data, settings):
    start = StencilPrecision().match_variances(data.train.images)
    fit = save(trained(data, settings, start), {}, {})
    gap = fit.record["held_out"]["gap"]
    assert gap > 1 and fit.record["status"] == f"failed: the fit is {gap:.1f} nats below the ceiling"
    best = data.maximum_likelihood(4, "shared")[0]
    fit = save(trained(data, settings, best), {}, {})
    assert fit.record["status"] == "converged" and fit.record["suboptimality"] == 0.25
    assert fit.record["held_out"]["gap"] == 0 and fit.record["optimizer"] == "adam"


def test_a_fixed_fit_that_has_not_failed_is_as_converged_as_it_says(data, settings):
    best, status = data.maximum_likelihood(4, "shared")[0], "not converged: 0.25 nats below maximum likelihood"
    fitted, said = trained(data, settings, best, status), {"confused": 0.2, "final_loss": 0.5}
    for off, ended in ((0.5, status), (-3.0, "failed: 20 % of images are on the wrong side of the classifier and its")):
        constant = float(fitted.result.model.log_partition()) + off
        fit = save(replace(fitted, result=replace(fitted.result, log_partition=constant)), said, {})
        assert fit.record["status"].startswith(ended) and fit.record["status"].endswith(("likelihood", "below log Z"))


@pytest.mark.parametrize("reachable", [True, False])
def test_a_fit_is_saved_without_its_constant_where_no_bridge_reaches(data, settings, monkeypatch, reachable):
    def bridge(layer, seed):
        if not reachable:
            raise ArithmeticError("too far: 1e+05 nats")
        return 12.5, 0.25

    monkeypatch.setattr(run, "log_partition_from_diagonal", bridge)
    best = data.maximum_likelihood(4, "shared")[0]
    fitted = trained(data, settings, best)
    fit = save(replace(fitted, result=run._with_constant(best, fitted.result, 0)), {}, {})
    learned = fit.record["log_partition"]
    words = "converged" if reachable else "converged; log Z was not learned: too far: 1e+05 nats"
    assert fit.record["status"] == words
    assert (learned["estimate"], learned["standard_error"]) == ((12.5, 0.25) if reachable else (None, None))
    assert np.isnan(fit.arrays["log_partition"]) == (not reachable)
    json.dumps(fit.record, allow_nan=False)
