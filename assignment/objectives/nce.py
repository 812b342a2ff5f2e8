"""Noise-contrastive estimation with a learned log Z (Gutmann & Hyvärinen, AISTATS 2010; exercise, Steps 0 to 4).

The exercise's fixed noise, a Gaussian with a diagonal Σ_n, is here, too.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from assignment.checks import array, image_shape, number, one_of, pair, positive, varying
from assignment.data.minibatches import chunks
from assignment.lattice.gaussian import LatticeGaussian, as_gaussian
from assignment.lattice.precision import StencilPrecision

# FEWEST: the least average number of noise images in a minibatch. MOST_BYTES: the most memory that they may take.
FEWEST = 0.01
MOST_BYTES = 2**32
VARIANCES = ("per_pixel", "isotropic")


def nce_loss(data_log_ratio: tf.Tensor, noise_log_ratio: tf.Tensor, noise_ratio: float) -> tf.Tensor:
    """−J of the exercise, in the log domain.

    With G(u) = log p_θ(u) − log p_n(u),
    −J = mean_i softplus(log ν − G(x_i)) + ν mean_j softplus(G(x'_j) − log ν).

    Args:
      data_log_ratio: G on data, [N]; noise_log_ratio: G on noise, [M]; noise_ratio: ν = (1 − η)/η.
    """
    log_nu = math.log(noise_ratio)
    data = tf.reduce_mean(tf.nn.softplus(log_nu - data_log_ratio))
    return data + noise_ratio * tf.reduce_mean(tf.nn.softplus(noise_log_ratio - log_nu))


def noise_ratio_from(eta: float) -> float:
    """ν = 1/η − 1; ValueError unless 0 < η < 1."""
    return 1 / number("eta, the probability of drawing data,", eta, 0, 1, "strictly between 0 and 1") - 1


def check_noise_count(noise_ratio: float, batch_size: int, pixels: int) -> None:
    """ValueError unless ν·B is at least FEWEST, and the noise images fit in MOST_BYTES."""
    count = noise_ratio * batch_size
    if not FEWEST <= count <= MOST_BYTES / (4 * pixels):
        raise ValueError(
            f"noise_ratio must suit the minibatches: {noise_ratio:.3g} means {count:.3g} noise images of {pixels} "
            f"pixels to every {batch_size} images, too {'few' if count < FEWEST else 'many'}"
        )


class NCE:
    """NCE against a fixed noise, with Λ's weights and c = log Z trained together.

    Args:
      noise: p_n on [H, W]: a `DiagonalNoise`, a TFP distribution, or any object with `sample(n, seed=…)`, `log_prob`,
        `event_shape` and `dtype`.
      noise_ratio: ν > 0, the expected number of noise images for each image.
      log_partition: where the learned c starts; None for log Z of a zero-mean Gaussian noise, −log p_n(0).
    """

    def __init__(self, noise: Any, noise_ratio: float = 1.0, log_partition: float | None = None) -> None:
        self.noise_ratio = positive("noise_ratio", noise_ratio)
        if not (hasattr(noise, "log_prob") and hasattr(noise, "sample")):
            raise TypeError(f"noise must be a distribution on images [H, W], not a {type(noise).__name__}")
        self.noise = noise
        if log_partition is None:
            log_partition = -noise.log_prob(tf.zeros(noise.event_shape, noise.dtype))
        self.log_partition = tf.Variable(number("log_partition", log_partition), dtype=tf.float32, name="log_partition")
        self.trainable_variables = (self.log_partition,)

    def log_ratio(self, model: LatticeGaussian | StencilPrecision, x: tf.Tensor) -> tf.Tensor:
        """G(x) = f_θ(x) − c − log p_n(x) for images [N, H, W], as [N]."""
        return as_gaussian(model).unnormalized_log_prob(x) - self.log_partition - self.noise.log_prob(x)

    def loss(self, model: LatticeGaussian | StencilPrecision, x: tf.Tensor, seed: Sequence[int]) -> tf.Tensor:
        """−J on a minibatch x [B, H, W]; `seed` is a pair of integers.

        Exercise, Step 1: z is drawn (1 + ν)B times with P(z = 0) = η. Each z = 0 picks a random image of the
        minibatch, each z = 1 draws one from p_n. At least one of each is drawn, for J is undefined otherwise.
        """
        check_minibatch(self, model, x, seed)
        coin_seed, pick_seed, noise_seed = tf.unstack(tf.random.split(seed, 3))
        draws = max(2, round(x.shape[0] * (1 + self.noise_ratio)))
        z = tf.random.stateless_uniform([draws], coin_seed) >= 1 / (1 + self.noise_ratio)
        noise_count = tf.clip_by_value(tf.math.count_nonzero(z, dtype=tf.int32), 1, draws - 1)
        picked = tf.random.stateless_uniform([draws - noise_count], pick_seed, maxval=x.shape[0], dtype=tf.int32)
        data = tf.gather(self.log_ratio(model, x), picked)  # Picks numbers: quicker than copying images.
        noise = self.log_ratio(model, self.noise.sample(noise_count, seed=noise_seed))
        return nce_loss(data, noise, self.noise_ratio)


def check_minibatch(objective: Any, model: Any, x: tf.Tensor, seed: Sequence[int]) -> None:
    """Refuses images, a seed or a number of noise images that do not suit the objective."""
    pair("seed", seed)
    image_shape("x", x, *as_gaussian(model).event_shape)
    if not objective.noise.event_shape.is_compatible_with(x.shape[1:]):
        raise ValueError(f"noise must be on images of shape {tuple(x.shape[1:])}, not {objective.noise.event_shape}")
    dtype = getattr(objective.noise, "dtype", x.dtype)
    if dtype != x.dtype:
        raise ValueError(f"noise must be {tf.as_dtype(x.dtype).name}, as the images are, not {tf.as_dtype(dtype).name}")
    check_noise_count(objective.noise_ratio, x.shape[0], x.shape[1] * x.shape[2])


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
