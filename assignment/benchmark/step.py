"""One NCE step on 512 images of 28 × 28 and as many noise images: ours against the dense way."""

import keras
import numpy as np
import tensorflow as tf

from assignment.benchmark.timing import median_seconds, side_by_side
from assignment.estimators.nce import NCE, nce_loss
from assignment.estimators.noise import DiagonalNoise
from assignment.estimators.telescoping import Journey
from assignment.fit import Trainer
from assignment.lattice.precision import StencilPrecision

SIZE, IMAGES = (28, 28), 512
STEP_PIXELS = 2**21  # of data in a step whose cost per pixel is measured
SEED = tf.constant([0, 1])


def nce_steps():
    """Seconds by what is done."""
    images = tf.constant(np.random.default_rng(0).standard_normal((IMAGES, *SIZE)), tf.float32)
    mask = lattice_mask()

    @tf.function
    def numbers():
        return tf.random.stateless_normal([IMAGES, *SIZE], SEED)

    def dense():
        precision, constant = tf.Variable(tf.eye(len(mask))), tf.Variable(0.0)
        optimizer = keras.optimizers.Adam(1e-6)
        optimizer.build([precision, constant])
        return lambda: dense_step(images, numbers(), precision, mask, constant, optimizer)

    def stencil(weights):
        layer = StencilPrecision(4, weights)
        layer.build(images.shape)
        trainer = Trainer(layer, NCE(DiagonalNoise(np.ones(SIZE))), "adam", reach=1e-6, diagonal=True)
        return lambda: trainer.step(images, SEED)

    return side_by_side(
        {
            "random numbers alone": numbers,
            "dense, eager": dense(),
            "dense, graph": tf.function(dense()),
            "stencil, shared": stencil("shared"),
            "stencil, per_edge": stencil("per_edge"),
        }
    )


def dense_step(images, noise, dense, mask, constant, optimizer):
    """The step with Λ as a masked [D, D] variable, as the hand-out's notes suggest."""
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


def telescoped_seconds_per_pixel(side):
    """What a step of telescoped NCE costs per pixel of data, shared weights, on images of side × side pixels."""
    layer = StencilPrecision(4, "shared")
    layer.build((None, side, side))
    images = max(1, STEP_PIXELS // side**2)
    x = np.random.default_rng(0).standard_normal((images, side, side)).astype(np.float32)
    trainer = Journey(layer, "adam", 1.0, 1, 0, None).trainer
    trainer.reach.assign(1e-6)
    return median_seconds(lambda: trainer.step(x, SEED)) / x.size
