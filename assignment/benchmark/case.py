"""One size and one way of working, in a process of its own: `python -m assignment.benchmark.case WAY SIDE`.

Prints JSON: seconds of each operation on one image, and by how many bytes the process grew.
"""

import json
import sys

import tensorflow as tf

from assignment.benchmark.timing import PeakMemory, median_seconds
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision

OPERATIONS = ("quadratic form", "product", "log det", "sample", "log_prob")


def measure(way, side):
    """{"seconds": {operation: seconds}, "bytes": growth} for a way of `WAYS`."""
    tf.linalg.cholesky(tf.eye(2)).numpy()  # Wakes TensorFlow.
    memory = PeakMemory()
    operations = WAYS[way](side)
    seconds = {name: median_seconds(tf.function(operations[name], autograph=False)) for name in OPERATIONS}
    return {"seconds": seconds, "bytes": memory.growth()}


def stencil(weights):
    """The operations of this package, each on one image."""

    def operations(side):
        layer, seed = new_layer(weights, side), tf.Variable([0, 1])
        gaussian, x = LatticeGaussian(layer), tf.random.stateless_normal([1, side, side], [0, 1])
        return {
            "quadratic form": lambda: layer.quadratic_form(x),
            "product": lambda: layer(x),
            "log det": lambda: layer.operator().log_determinant(),
            "sample": lambda: gaussian.sample_by_factor(1, seed=seed),
            "log_prob": lambda: gaussian.log_prob(x),
        }

    return operations


def dense(side):
    """The same with Λ as a [D, D] matrix."""
    precision, seed = new_layer("shared", side).to_dense(), tf.Variable([0, 1])
    x = tf.random.stateless_normal([1, side**2], [0, 1])

    def log_determinant(root):
        return 2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)))

    def log_prob():
        return -0.5 * tf.einsum("ni,ij,nj->n", x, precision, x) + 0.5 * log_determinant(tf.linalg.cholesky(precision))

    def sample():
        white = tf.random.stateless_normal([side**2, 1], seed)
        return tf.linalg.triangular_solve(tf.linalg.cholesky(precision), white, adjoint=True)

    return {
        "quadratic form": lambda: tf.einsum("ni,ij,nj->n", x, precision, x),
        "product": lambda: x @ precision,
        "log det": lambda: log_determinant(tf.linalg.cholesky(precision)),
        "sample": sample,
        "log_prob": log_prob,
    }


def new_layer(weights, side):
    """Λ with 3 on the diagonal and −0.7 for every edge, positive definite at any size."""
    layer = StencilPrecision(4, weights)
    layer.build((None, side, side))
    pixels = layer.group_sizes[0]
    layer.theta.assign(tf.concat([tf.fill([pixels], 3.0), tf.fill([layer.theta.shape[0] - pixels], -0.7)], axis=0))
    return layer


WAYS = {"dense": dense, "stencil, shared": stencil("shared"), "stencil, per_edge": stencil("per_edge")}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
