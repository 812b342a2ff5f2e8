"""Conditional noise-contrastive estimation: each image against noisy copies of itself (Ceylan & Gutmann, ICML 2018).

p_n(x'|x) = N(x, ε²Λ_n⁻¹) is symmetric in x and x', so that log Z and p_n both cancel from the log-ratio
G(x, x') = log[p_θ(x) p_n(x'|x)] − log[p_θ(x') p_n(x|x')] = f_θ(x) − f_θ(x').
The paper's J is twice the mean softplus(−G): 2 log 2 for a flat energy. Our loss is the mean itself: log 2.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from assignment.checks import image_shape, pair, positive, whole
from assignment.lattice.gaussian import LatticeGaussian, as_gaussian
from assignment.lattice.precision import StencilPrecision

# The loss that ε is tuned to: about half way from log 2, at ε → 0 whatever the data and the model, to saturated at 0.
TARGET = 0.35


def cnce_loss(log_ratio: tf.Tensor) -> tf.Tensor:
    """mean softplus(−G) over pairs; the paper's objective is twice this."""
    return tf.reduce_mean(tf.nn.softplus(-log_ratio))


def isotropic_noise(height: int, width: int) -> LatticeGaussian:
    """The paper's noise at ε = 1: N(0, I) on [H, W], as a lattice without couplings."""
    identity = StencilPrecision()
    identity.build((None, height, width))
    return LatticeGaussian(identity)


class ConditionalNCE:
    """cNCE with noise that is Gaussian around each image.

    All images of a minibatch meet the same displacements ±d: B·κ pairs for κ/2 draws and two matrix products. Sharing d
    does no harm, for what d alone adds to the gradient vanishes where model and data agree.

    Args:
      noise: N(0, Λ_n⁻¹), a zero-mean `LatticeGaussian`: `isotropic_noise(H, W)` as in the paper, or the Gaussian of the
        layer that is fitted, so that p_n(x'|x) has the shape of the present fit ("matched").
      epsilon: ε > 0, the scale of the noise; `tune` chooses it by the loss.
      noise_ratio: κ, noise images for each image; even, since they come in pairs x ± d.
    """

    trainable_variables = ()

    def __init__(self, noise: LatticeGaussian, epsilon: float = 0.05, noise_ratio: int = 256) -> None:
        if not isinstance(noise, LatticeGaussian) or noise.location is not None:
            raise TypeError(f"noise must be a LatticeGaussian without a mean, not {noise!r:.60}")
        if whole("noise_ratio", noise_ratio) < 2 or noise_ratio % 2:
            raise ValueError(f"noise_ratio must be an even number of noise images, not {noise_ratio}")
        self.noise = noise
        self.epsilon = tf.Variable(positive("epsilon", epsilon), dtype=noise.dtype, trainable=False, name="epsilon")
        self.noise_ratio = noise_ratio

    def displacements(self, seed: Sequence[int]) -> tf.Tensor:
        """κ/2 draws of x' − x at ε = 1, [κ/2, H, W]; constants to the gradient even where the noise is the model's."""
        pair("seed", seed)
        return tf.stop_gradient(self.noise.sample_by_factor(self.noise_ratio // 2, seed))

    def loss(self, model: LatticeGaussian | StencilPrecision, x: tf.Tensor, seed: Sequence[int]) -> tf.Tensor:
        """mean softplus(−G) over the pairs of images x [B, H, W] with x ± d; `seed` is a pair of integers."""
        return cnce_loss(log_ratio(model, x, self.epsilon * self.displacements(seed)))

    def tune(self, model: LatticeGaussian | StencilPrecision, x: tf.Tensor, seed: Sequence[int]) -> None:
        """Sets ε so that the loss on images x [B, H, W] is TARGET, by bisection in log ε.

        The paper's rule is to enlarge ε until the loss is well below its limit at ε → 0, log 2, and not yet saturated.
        """
        self.epsilon.assign(_tuned_epsilon(*_slope_and_bend(as_gaussian(model), x, self.displacements(seed))))


def log_ratio(model: LatticeGaussian | StencilPrecision, x: tf.Tensor, displacement: tf.Tensor) -> tf.Tensor:
    """G = f_θ(x) − f_θ(x ± d) for images x [B, H, W] and displacements d [n, H, W], as [2, B, n].

    f_θ is a quadratic: f_θ(x ± d) = f_θ(x) ± d·∇f_θ(x) − ½dᵀΛd, which needs no image x ± d.
    """
    slope, bend = _slope_and_bend(as_gaussian(model), x, displacement)
    return tf.stack([bend - slope, bend + slope])


def _slope_and_bend(model, x, displacement):
    """d·∇f_θ(x), [B, n], and ½dᵀΛd, [n]: f_θ(x) − f_θ(x ± d) = ½dᵀΛd ∓ d·∇f_θ(x)."""
    image_shape("displacement", displacement, *model.event_shape)
    # ∇f_θ(x) = Λ(μ − x), and Λ is symmetric: there are fewer d to multiply by Λ than images.
    product = model.operator().product(displacement)
    bend = 0.5 * tf.reduce_sum(displacement * product, axis=[-2, -1])
    images, mean, product = (tf.reshape(t, [-1, model.pixels]) for t in (x, model.mean(), product))
    return tf.linalg.matmul(mean, product, transpose_b=True) - tf.linalg.matmul(images, product, transpose_b=True), bend


@tf.function(reduce_retracing=True, autograph=False)
def _tuned_epsilon(slope, bend):
    def halve(low, high):
        middle = (low + high) / 2
        linear, square = tf.exp(middle) * slope, tf.exp(2 * middle) * bend
        above = cnce_loss(tf.stack([square - linear, square + linear])) > TARGET
        return tf.where(above, middle, low), tf.where(above, high, middle)

    ends = tf.cast(math.log(1e-6), slope.dtype), tf.cast(math.log(1e3), slope.dtype)
    low, high = tf.while_loop(lambda *_: True, halve, ends, maximum_iterations=28)  # ε to 1e-7 of itself
    return tf.exp((low + high) / 2)
