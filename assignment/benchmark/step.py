"""One NCE step on 512 images of 28 × 28 and as many noise images: ours against the dense way."""

import keras
import numpy as np
import tensorflow as tf

from assignment.benchmark.timing import median_seconds, side_by_side
from assignment.estimators.nce import NCE, nce_loss
from assignment.estimators.noise import DiagonalNoise
from assignment.estimators.telescoping import Journey
from assignment.fit import TOGETHER, Trainer
from assignment.lattice.precision import StencilPrecision

SIZE, IMAGES = (28, 28), 512
STEP_PIXELS = 2**21  # of data in a step whose cost per pixel is measured
SEEDS = tf.constant([[0, step] for step in range(TOGETHER)])


def nce_steps():
    """Seconds of a step by what is done, and whether a call does it once or, as `fit` does, TOGETHER times."""
    images = tf.constant(np.random.default_rng(0).standard_normal((IMAGES, *SIZE)), tf.float32)
    eager = dense(images)
    once = {
        "random numbers alone": tf.function(lambda: random_numbers(SEEDS[0])),
        "dense, eager": lambda: eager(SEEDS[0]),
    }
    together = {
        f"random numbers, {TOGETHER} a call": many(lambda seed: random_numbers(seed)[-1, -1, -1]),
        "dense, graph": many(dense(images)),
        "stencil, shared": stencil(images, "shared"),
        "stencil, per_edge": stencil(images, "per_edge"),
    }
    seconds = side_by_side(once | together)
    return {name: time / (TOGETHER if name in together else 1) for name, time in seconds.items()}


def random_numbers(seed):
    """What TensorFlow draws as the noise of one step."""
    return tf.random.stateless_normal([IMAGES, *SIZE], seed)


def many(step):
    """A graph that calls step(seed) with all SEEDS, as `Trainer.steps` does."""
    return tf.function(lambda: tf.map_fn(step, SEEDS, fn_output_signature=tf.float32, parallel_iterations=2))


def stencil(images, weights):
    """Our steps."""
    layer = StencilPrecision(4, weights)
    layer.build(images.shape)
    trainer = Trainer(layer, NCE(DiagonalNoise(np.ones(SIZE))), "adam", diagonal=True)
    minibatches = tf.stack([images] * TOGETHER)
    return lambda: trainer.steps(minibatches, SEEDS, [1e-6] * TOGETHER, TOGETHER)


def dense(images):
    """step(seed), the dense way."""
    mask = lattice_mask()
    precision, constant = tf.Variable(tf.eye(len(mask))), tf.Variable(0.0)
    optimizer = keras.optimizers.Adam(1e-6)
    optimizer.build([precision, constant])
    return lambda seed: dense_step(images, random_numbers(seed), precision, mask, constant, optimizer)


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
    return median_seconds(lambda: trainer.step(x, SEEDS[0])) / x.size
