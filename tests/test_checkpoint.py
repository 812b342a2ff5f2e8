"""A fit that was interrupted and started again ends bit for bit where an uninterrupted one does."""

import numpy as np
import pytest
from second_cases import digits

from assignment.checkpoint import Checkpoint
from assignment.estimators.following import fit_conditional_nce, fit_score_matching
from assignment.estimators.nce import NCE
from assignment.estimators.telescoping import MovingNoise, telescope
from assignment.fit import fit
from assignment.lattice.precision import StencilPrecision


class Killed(Exception):
    """Stands for SIGKILL: nothing is done about it."""


def new_layer(weights="shared", size=(5, 4)):
    layer = StencilPrecision(4, weights)
    layer.build((None, *size))
    layer.assign_theta(np.where(np.arange(layer.theta.shape[0]) < layer.group_sizes[0], 20.0, 0.0))
    return layer


def nce(layer, images, **options):
    noise = MovingNoise(new_layer(), 0.0)
    return fit(layer, NCE(noise, 1.0, 0.0), images, epochs=4, batch_size=50, snapshots=5, **options)


def telescoped(layer, images, **options):
    stages, history = telescope(layer, images, batch_size=64, passes=1, **options)
    return history | {"stages": [stage._replace(theta=stage.theta.tolist()) for stage in stages]}


def conditional(layer, images, **options):
    return fit_conditional_nce(layer, images, "isotropic", steps=24, noise_ratio=8, **options)


def matched(layer, images, **options):
    return fit_conditional_nce(layer, images, "matched", "rmsprop", steps=24, noise_ratio=8, **options)


def preconditioned(layer, images, **options):
    return fit_score_matching(layer, images, "preconditioned", "sgd", steps=24, batch_size=64, **options)


def killed_at(step):
    def progress(now, *_):
        if now >= step:  # Not every step is reported by itself.
            raise Killed

    return progress


@pytest.mark.parametrize(
    ("estimate", "weights"),
    [
        (nce, "shared"),
        (telescoped, "shared"),
        (conditional, "shared"),
        (matched, "per_edge"),
        (preconditioned, "shared"),
    ],
)
def test_it_goes_on_bit_for_bit(tmp_path, estimate, weights):
    images = digits()[:600, :5, :4]
    whole = new_layer(weights)
    expected = estimate(whole, images)
    for step in (3, 17):
        with pytest.raises(Killed):
            estimate(new_layer(weights), images, checkpoint=Checkpoint(tmp_path, every=0), progress=killed_at(step))
    seen = []
    layer = new_layer(weights)
    found = estimate(layer, images, checkpoint=Checkpoint(tmp_path), progress=lambda step, *_: seen.append(step))
    assert min(seen) > 17
    np.testing.assert_array_equal(layer.theta, whole.theta)
    assert np.array_equal(list(found), list(expected))
    for name, values in expected.items():
        if name != "stages":
            np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert found.get("stages") == expected.get("stages")


def test_a_damaged_checkpoint_is_begun_anew(tmp_path):
    images, whole = digits()[:600, :5, :4], new_layer()
    preconditioned(whole, images)
    with pytest.raises(Killed):
        preconditioned(new_layer(), images, checkpoint=Checkpoint(tmp_path, every=0), progress=killed_at(20))
    (data,) = tmp_path.glob("*.data-*")
    altered = bytearray(data.read_bytes())
    altered[len(altered) // 2] ^= 1
    data.write_bytes(altered)
    seen, layer = [], new_layer()
    preconditioned(layer, images, checkpoint=Checkpoint(tmp_path), progress=lambda step, *_: seen.append(step))
    assert min(seen) == 1
    np.testing.assert_array_equal(layer.theta, whole.theta)


def test_the_time_before_an_interruption_counts(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("assignment.checkpoint.time.monotonic", lambda: now[0])
    first = Checkpoint(tmp_path)
    first.restore([])
    now[0] += 5
    first.keep(lambda: {"x": 1}, now=True)
    now[0] += 50
    second = Checkpoint(tmp_path)
    assert second.restore([]) == {"x": 1}
    now[0] += 2
    assert second.seconds == pytest.approx(7)
