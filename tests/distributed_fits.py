"""Fits of tests/test_distribution.py: `python distributed_fits.py FOLDER ADDRESS ADDRESS` makes them by replicas."""

import json
import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from assignment.errors import UserError
from assignment.fits.conditional_nce import fit_conditional_nce
from assignment.fits.fixed_nce import fit_nce
from assignment.fits.score_matching import fit_score_matching
from assignment.fits.telescoped_nce import fit_telescoped_nce
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.nce import DiagonalNoise
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


def mirrored(folder):
    """Both replicas are in one process."""
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    found = fits(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    (folder / "mirrored").write_text(json.dumps(found))


def worker(folder, index, addresses):
    """One of two workers; the second one dies while the first fits once more."""
    task = {"type": "worker", "index": index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    strategy, names = make_strategy("multiworker"), ("telescoped", "score")
    (folder / str(index)).write_text(json.dumps(fits(strategy, names)))
    if index:
        os._exit(9)  # As if killed.
    try:
        fits(strategy, names)
    except UserError as error:
        (folder / "complaint").write_text(str(error))


def main(folder, *addresses):
    """Forks after TensorFlow was imported, and before it is used."""
    fork = multiprocessing.get_context("fork").Process
    processes = [fork(target=mirrored, args=(folder,))]
    processes += [fork(target=worker, args=(folder, index, addresses)) for index in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
