"""What the replicas of tests/test_distribution.py run: `python distributed_fits.py mirrored|multiworker`."""

import json
import os
import sys

import numpy as np
import tensorflow as tf

from assignment.distribution import make_strategy
from assignment.errors import UserError
from assignment.estimators.following import fit_conditional_nce, fit_score_matching
from assignment.estimators.nce import NCE
from assignment.estimators.noise import DiagonalNoise
from assignment.estimators.telescoping import telescope
from assignment.fit import fit
from assignment.lattice.precision import StencilPrecision


def images():
    """Smooth made-up images, [400, 4, 4]."""
    x = np.random.default_rng(0).standard_normal((400, 5, 5))
    return (x[:, 1:, 1:] + x[:, :-1, 1:] + x[:, 1:, :-1]).astype(np.float32) / 3


def new_layer():
    layer = StencilPrecision(4, "shared")
    layer.build((None, 4, 4))
    layer.assign_theta([3.0, 0.0, 0.0])
    return layer


def fits(strategy):
    """The weights and constants that four estimators learn, by name."""
    found = {}
    layer = new_layer()
    stages, _ = telescope(layer, images(), passes=1, batch_size=8, strategy=strategy)
    found["telescoped"] = [*layer.theta.numpy().tolist(), stages[-1].log_partition]
    layer = new_layer()
    # Not a noise that is the start itself: the gradient of c is zero there but for its rounding, which differs from one
    # number of replicas to another, and which Adam makes whole steps of.
    estimator = NCE(DiagonalNoise(np.full((4, 4), 0.5)))
    fit(layer, estimator, images(), batch_size=40, epochs=2, strategy=strategy)
    found["fixed"] = [*layer.theta.numpy().tolist(), float(estimator.log_partition)]
    layer = new_layer()
    fit_conditional_nce(layer, images(), steps=20, noise_ratio=8, strategy=strategy)
    found["conditional"] = layer.theta.numpy().tolist()
    layer = new_layer()
    fit_score_matching(layer, images(), steps=20, strategy=strategy)
    found["score"] = layer.theta.numpy().tolist()
    return found


def main(name):
    if name == "mirrored":
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    else:
        strategy = make_strategy(name)
    print(json.dumps(fits(strategy)), flush=True)
    if name == "mirrored":
        return
    if json.loads(os.environ["TF_CONFIG"])["task"]["index"]:
        os._exit(9)  # As if killed, while the other goes on.
    try:
        fits(strategy)
    except UserError as error:
        print(error)


if __name__ == "__main__":
    main(sys.argv[1])
