"""One NCE step on 512 images of 28 × 28 and as many noise images: ours against the dense way."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from assignment.benchmark.case import median_seconds, new_layer, side_by_side
from assignment.fits.fixed_nce import TOGETHER
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.nce import NCE, DiagonalNoise, nce_loss
from assignment.objectives.telescoped_nce import MovingNoise, TelescopedNCE
from assignment.training.step import Step

SIZE, IMAGES = (28, 28), 512
STEP_PIXELS = 2**21  # of data in a step whose cost per pixel is measured
STILL = 1e-6  # reach and learning rate, so that every step is like the first
SEEDS = tf.constant([[0, step] for step in range(TOGETHER)])


def nce_steps() -> dict[str, float]:
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


def random_numbers(seed: tf.Tensor) -> tf.Tensor:
    """What TensorFlow draws as the noise of one step."""
    return tf.random.stateless_normal([IMAGES, *SIZE], seed)


def many(step: Callable) -> Callable:
    """A graph that calls step(seed) with all SEEDS, as a `Step` does."""
    return tf.function(lambda: tf.map_fn(step, SEEDS, fn_output_signature=tf.float32, parallel_iterations=2))


def stencil(images: tf.Tensor, weights: str) -> Callable:
    """Our steps."""
    layer = StencilPrecision(4, weights)
    layer.build(images.shape)
    step = Step(layer, NCE(DiagonalNoise(np.ones(SIZE))), "adam")
    minibatches, still = tf.stack([images] * TOGETHER), tf.fill([TOGETHER], STILL)
    return lambda: step.run(minibatches, SEEDS, still, still, tf.constant(TOGETHER))


def dense(images: tf.Tensor) -> Callable:
    """step(seed) with Λ as a masked [D, D] variable, as public solutions of the exercise have it."""
    mask = new_layer("shared", SIZE[0], (1.0, 1.0, 1.0)).to_dense()
    precision, constant = tf.Variable(tf.eye(len(mask))), tf.Variable(0.0)
    optimizer = keras.optimizers.Adam(STILL)
    optimizer.build([precision, constant])

    def step(seed):
        both = [tf.reshape(u, [-1, len(mask)]) for u in (images, random_numbers(seed))]
        with tf.GradientTape() as tape:
            masked = precision * mask
            ratios = [
                -0.5 * tf.einsum("ni,ij,nj->n", u, masked, u) - constant + 0.5 * tf.reduce_sum(u * u, axis=1)
                for u in both
            ]
            loss = nce_loss(*ratios, 1.0)
        optimizer.apply(tape.gradient(loss, [precision, constant]), [precision, constant])
        return loss

    return step


def telescoped_seconds_per_pixel(weights: str, side: int) -> float:
    """What a step of telescoped NCE costs per pixel of data, on images of side × side pixels."""
    layer = StencilPrecision(4, weights)
    layer.build((None, side, side))
    images = max(1, STEP_PIXELS // side**2)
    x = np.random.default_rng(0).standard_normal((1, images, side, side)).astype(np.float32)
    step = Step(layer, TelescopedNCE(MovingNoise(layer, 0.0)), "adam")
    still = tf.constant([STILL])
    return median_seconds(lambda: step.run(x, SEEDS[:1], still, still, tf.constant(1))) / x.size
