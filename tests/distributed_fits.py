"""What the replicas of tests/test_distribution.py run: `python distributed_fits.py mirrored|multiworker`."""

import json
import os
import sys

import numpy as np
import tensorflow as tf

from assignment.errors import UserError
from assignment.fits.conditional_nce import fit_conditional_nce
from assignment.fits.fixed_nce import fit_nce
from assignment.fits.score_matching import fit_score_matching
from assignment.fits.telescoped_nce import fit_telescoped_nce
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.noise import DiagonalNoise
from assignment.training.replicas import make_strategy

ALL = ("telescoped", "fixed", "conditional", "score")


def images():
    """Smooth made-up images, [400, 4, 4]."""
    x = np.random.default_rng(0).standard_normal((400, 5, 5))
    return (x[:, 1:, 1:] + x[:, :-1, 1:] + x[:, 1:, :-1]).astype(np.float32) / 3


def fits(strategy, names=ALL):
    """The weights, constants and losses that the estimators of these names learn."""
    # Not a noise that is the start itself: the gradient of c is zero there but for its rounding, which differs from one
    # number of replicas to another, and which Adam makes whole steps of.
    noise = DiagonalNoise(np.full((4, 4), 0.5))
    calls = {
        "telescoped": (fit_telescoped_nce, dict(passes=1, batch_size=8)),
        "fixed": (fit_nce, dict(noise=noise, epochs=2, batch_size=8)),
        "conditional": (fit_conditional_nce, dict(steps=20, batch_size=49, noise_ratio=8)),
        "score": (fit_score_matching, dict(steps=20, batch_size=49)),
    }
    found = {}
    for name in names:
        fit, options = calls[name]
        layer = StencilPrecision(4, "shared")
        layer.build((None, 4, 4))
        layer.assign_theta([3.0, 0.0, 0.0])
        result = fit(layer, images(), strategy=strategy, **options)
        constants = [] if result.log_partition is None else [result.log_partition]
        found[name] = [*layer.theta.numpy().tolist(), *constants, *result.history["loss"][:40].tolist()]
    return found


def main(name):
    if name == "mirrored":
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    else:
        strategy = make_strategy(name)
    names = ("telescoped", "score") if name == "multiworker" else ALL
    print(json.dumps(fits(strategy, names)), flush=True)
    if name == "mirrored":
        return
    if json.loads(os.environ["TF_CONFIG"])["task"]["index"]:
        os._exit(9)  # As if killed, while the other goes on.
    try:
        fits(strategy, names)
    except UserError as error:
        print(error)


if __name__ == "__main__":
    main(sys.argv[1])
