"""The hand-out's fixed noise, a Gaussian with a diagonal Σ_n, and the normal numbers that all noise is made of."""

import math

import numpy as np
import tensorflow as tf


def draw_normal(shape, seed, variances=1.0):
    """Independent draws of N(0, σ²), float32, by Box & Muller (1958).

    A minibatch of noise takes two thirds of the time of `tf.random.stateless_normal`, whose kernel takes logarithms and
    sines number by number; under XLA that one is slower still.

    Args:
      shape: [n, ...], the dimensions but n known.
      seed: a pair of integers.
      variances: σ², which must broadcast to one draw, [...].
    """
    n, *rest = shape
    uniform = tf.random.stateless_uniform([2, (n + 1) // 2, *rest], seed)  # From [0, 1).
    radius = tf.sqrt(-2 * variances * tf.math.log(1 - uniform[0]))
    angle = 2 * math.pi * uniform[1]
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=0)[:n]


class DiagonalNoise:
    """p_n = N(0, diag(σ²)) on images [H, W].

    Args:
      variances: σ², [H, W].
    """

    def __init__(self, variances):
        variances = np.asarray(variances, np.float64)
        self.event_shape, self.dtype = tf.TensorShape(variances.shape), tf.float32
        self._variances = tf.constant(variances, tf.float32)
        self._precisions = tf.constant(1 / variances, tf.float32)
        self._log_partition = tf.constant(0.5 * np.sum(np.log(2 * np.pi * variances)), tf.float32)

    def sample(self, n, seed):
        """n draws, [n, H, W]."""
        return draw_normal([n, *self.event_shape], seed, self._variances)

    def log_prob(self, x):
        """log p_n of images [..., H, W], as [...]."""
        return -0.5 * tf.tensordot(x * x, self._precisions, axes=2) - self._log_partition
