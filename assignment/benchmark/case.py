"""One size and one way of working, in a process of its own: `python -m assignment.benchmark.case WAY SIDE`.

Prints JSON: seconds of each operation on one image, and by how many bytes the process grew. How both are measured
stands below.
"""

import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision

ENOUGH = 0.5  # seconds of repetitions
Operations = dict[str, Callable[[tf.Tensor], tf.Tensor]]  # on one image [1, H, W]


def measure(way: str, side: int) -> dict[str, Any]:
    """{"seconds": {operation: seconds}, "bytes": growth} for a way of `WAYS`."""
    tf.linalg.cholesky(tf.eye(2)).numpy()  # Wakes TensorFlow.
    growth = growth_from_now()
    x, operations = tf.random.stateless_normal([1, side, side], [0, 1]), WAYS[way](side)
    # With x as an argument: what follows from a constant alone is found while the graph is built.
    graphs = {name: tf.function(operation, autograph=False) for name, operation in operations.items()}
    seconds = {name: median_seconds(partial(graph, x)) for name, graph in graphs.items()}
    return {"seconds": seconds, "bytes": growth()}


def stencil(weights: str, side: int) -> Operations:
    """The operations of this package."""
    layer, seed = new_layer(weights, side), tf.Variable([0, 1])
    gaussian = LatticeGaussian(layer)
    return {
        "quadratic form": layer.quadratic_form,
        "product": layer,
        "log det": lambda x: layer.operator().log_determinant(),
        "sample": lambda x: gaussian.sample_by_factor(1, seed=seed),
        "log_prob": gaussian.log_prob,
    }


def dense(side: int) -> Operations:
    """The same with Λ as a [D, D] matrix."""
    precision, seed = new_layer("shared", side).to_dense(), tf.Variable([0, 1])

    def quadratic_form(x):
        flat = tf.reshape(x, [1, side**2])
        return tf.einsum("ni,ij,nj->n", flat, precision, flat)

    def log_determinant(x):
        return 2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(tf.linalg.cholesky(precision))))

    def sample(x):
        white = tf.random.stateless_normal([side**2, 1], seed)
        return tf.linalg.triangular_solve(tf.linalg.cholesky(precision), white, adjoint=True)

    return {
        "quadratic form": quadratic_form,
        "product": lambda x: tf.reshape(x, [1, side**2]) @ precision,
        "log det": log_determinant,
        "sample": sample,
        "log_prob": lambda x: 0.5 * (log_determinant(x) - quadratic_form(x)),
    }


def new_layer(weights: str, side: int, values: tuple[float, float, float] = (3.0, -0.7, -0.7)) -> StencilPrecision:
    """A 4-connected layer with the same weights everywhere: those of the diagonal, to the right, and down.

    The default ones are positive definite at any size.
    """
    layer = StencilPrecision(4, weights)
    layer.build((None, side, side))
    layer.theta.assign(np.repeat(np.float32(values), layer.group_sizes))
    return layer


WAYS = {"dense": dense} | {f"stencil, {weights}": partial(stencil, weights) for weights in ("shared", "per_edge")}


def median_seconds(function: Callable) -> float:
    """The median time of a function whose results are awaited, of up to 30 calls after the first."""
    _seconds(function)
    times = []
    while sum(times) < ENOUGH and len(times) < 30:
        times.append(_seconds(function))
    return statistics.median(times)


def side_by_side(functions: dict[str, Callable], rounds: int = 10, calls: int = 3) -> dict[str, float]:
    """The median times of functions by name, taken in turns: whatever else the machine does hits them all alike."""
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            _seconds(function)  # The others have emptied the caches.
            times[name] += [_seconds(function) for _ in range(calls)]
    return {name: statistics.median(found) for name, found in times.items()}


def _seconds(function):
    start = time.perf_counter()
    tf.nest.map_structure(np.asarray, function())  # Waits for the results.
    return time.perf_counter() - start


def growth_from_now() -> Callable[[], int]:
    """A function that says by how many bytes the process has grown at most since this call.

    Linux keeps a high-water mark, which can be set back.
    """

    def read(field):
        return 1024 * int(re.search(rf"{field}:\s*(\d+)", Path("/proc/self/status").read_text())[1])

    Path("/proc/self/clear_refs").write_text("5")
    before = read("VmRSS")
    return lambda: max(0, read("VmHWM") - before)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
