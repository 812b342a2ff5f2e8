"""The exercise's fixed noise, a Gaussian with a diagonal Σ_n, and the normal numbers that NCE's noise is made of."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from assignment.checks import array, one_of, positive, varying
from assignment.data.minibatches import chunks
from assignment.lattice.cholesky import graph_by_size
from assignment.lattice.precision import StencilPrecision

VARIANCES = ("per_pixel", "isotropic")


def draw_normal(shape: Sequence[int | tf.Tensor], seed: Sequence[int], variances: tf.Tensor | float = 1.0) -> tf.Tensor:
    """Independent draws of N(0, σ²), float32, by Box & Muller (1958).

    They take two thirds of the time of `tf.random.stateless_normal`, whose kernel takes logarithms and sines number by
    number.

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

    Raises:
      ValueError: they are not finite and positive in float32.
    """

    def __init__(self, variances: np.ndarray) -> None:
        variances = array("variances", variances, np.shape(variances))
        if not (array("variances", variances, variances.shape, np.float32) > 0).all():
            raise ValueError(f"variances must be positive, not as small as {variances.min():.3g}")
        self.event_shape, self.dtype = tf.TensorShape(variances.shape), tf.float32
        self._variances = tf.constant(variances, tf.float32)
        self._precisions = tf.constant(1 / variances, tf.float32)
        self._log_partition = tf.constant(0.5 * np.sum(np.log(2 * np.pi * variances)), tf.float32)

    def sample(self, n: int | tf.Tensor, seed: Sequence[int]) -> tf.Tensor:
        """n draws, [n, H, W]; `seed` is a pair of integers."""
        return draw_normal([n, *self.event_shape], seed, self._variances)

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log p_n of images [..., H, W], as [...]."""
        return -0.5 * tf.tensordot(x * x, self._precisions, axes=2) - self._log_partition


def diagonal_noise(images: np.ndarray, variance: str = "per_pixel", scale: float = 1.0) -> DiagonalNoise:
    """The noise p_n = N(0, diag) that has the variances of images [N, H, W] about zero.

    Args:
      variance: "per_pixel", the variance of each pixel, or "isotropic", their mean for all.
      scale: a factor on the variance.
    """
    squares = sum(np.sum(np.square(chunk, dtype=np.float64), axis=0) for chunk in chunks(images))
    varying(squares)
    variances = squares / len(images) * positive("scale", scale)
    if one_of("variance", variance, VARIANCES) == "isotropic":
        variances = np.full_like(variances, variances.mean())
    return DiagonalNoise(variances)


def white_images(n: int | tf.Tensor, layer: Any, seed: Sequence[int]) -> tf.Tensor:
    """n images of independent N(0, 1), [n, H, W]; by rows, whose number is more often even: normals come in pairs."""
    return tf.reshape(draw_normal([n * layer.height, layer.width], seed), [n, layer.height, layer.width])


def float32_sampler(layer: StencilPrecision, theta: np.ndarray | None = None) -> Any:
    """A float32 factor of Σ(θ), see `LinearOperatorLattice.sampler`; the layer's own θ where none is given."""
    return _float32_factor(layer.operator(theta))


@graph_by_size
def _float32_factor(operator):
    return tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), operator.sampler())
