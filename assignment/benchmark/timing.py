"""Median times, and the machine they were taken on."""

import os
import resource
import statistics
import time

import numpy as np
import tensorflow as tf

ENOUGH = 0.5  # seconds of repetitions


def median_seconds(function, most=30):
    """The median time of a function whose results are awaited, first call aside; at most `most` calls."""
    return _median(lambda: tf.nest.map_structure(np.asarray, function()), most)


def _median(call, most):
    call()
    times = []
    while len(times) < 3 or (sum(times) < ENOUGH and len(times) < most):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        if times[-1] > ENOUGH:
            break
    return statistics.median(times)


def peak_bytes():
    """The most memory that this process has held so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def machine():
    """What the numbers were measured on, in words."""
    devices = tf.config.list_physical_devices("GPU")
    if devices:
        names = [tf.config.experimental.get_device_details(device).get("device_name", "GPU") for device in devices]
        return f"{len(devices)} GPU ({', '.join(sorted(set(names)))}), TensorFlow {tf.__version__}"
    return f"{len(os.sched_getaffinity(0))} CPU cores, TensorFlow {tf.__version__}"
