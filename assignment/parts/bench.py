"""Part `bench`: one NCE step at 28 × 28, ours against the dense way of the hand-out's notes, in one run."""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from assignment.estimators.nce import NCE, nce_loss
from assignment.fit import Trainer
from assignment.lattice.precision import StencilPrecision

SIZE, IMAGES, REPEATS = (28, 28), 512, 30


def run():
    """Yields (what, median milliseconds) of one step on 512 images and about as many noise images."""
    images = tf.constant(np.random.default_rng(0).standard_normal((IMAGES, *SIZE)), tf.float32)
    noise = tfp.distributions.Independent(tfp.distributions.Normal(tf.zeros(SIZE), 1.0), 2)
    seed = tf.constant([0, 1])

    @tf.function
    def numbers():
        return tf.random.stateless_normal([IMAGES, *SIZE], seed)

    yield "the noise's random numbers alone", _median(numbers)
    mask = lattice_mask()
    dense, constant = tf.Variable(tf.eye(len(mask))), tf.Variable(0.0)
    optimizer = keras.optimizers.Adam(1e-6)
    yield "dense Λ, eager", _median(lambda: dense_step(images, numbers(), dense, mask, constant, optimizer))
    for weights in ("shared", "per_edge"):
        layer = StencilPrecision(4, weights)
        layer.build(images.shape)
        trainer = Trainer(layer, NCE(noise), "adam", reach=1e-6)
        yield f"stencil, {weights} weights", _median(lambda trainer=trainer: trainer.step(images, seed))


def dense_step(images, noise, dense, mask, constant, optimizer):
    """The same step written eagerly, with Λ as a masked [D, D] variable."""
    images, noise = (tf.reshape(u, [-1, len(mask)]) for u in (images, noise))
    with tf.GradientTape() as tape:
        precision = dense * mask
        ratios = [
            -0.5 * tf.einsum("ni,ij,nj->n", u, precision, u) - constant + 0.5 * tf.reduce_sum(u * u, axis=1)
            for u in (images, noise)
        ]
        loss = nce_loss(*ratios, 1.0)
    optimizer.apply(tape.gradient(loss, [dense, constant]), [dense, constant])
    return loss


def lattice_mask():
    """1 where the 4-connected Λ may differ from zero, [D, D]."""
    layer = StencilPrecision(4, "shared")
    layer.build(SIZE)
    layer.theta.assign(tf.ones_like(layer.theta.value))
    return layer.to_dense()


def _median(step):
    step()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        tf.nest.map_structure(np.asarray, step())
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)
