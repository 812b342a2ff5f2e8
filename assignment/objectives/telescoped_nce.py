"""NCE whose noise moves with the fit: one stage of telescoped NCE.

Against a fixed diagonal noise the classes separate perfectly at D = 784, and NCE's gradient vanishes whatever the fit
is. A noise that was fitted a little earlier keeps the classifier undecided (Rhodes et al., NeurIPS 2020).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from assignment.checks import positive
from assignment.lattice.cholesky import graph_by_size
from assignment.lattice.gaussian import LatticeGaussian, as_gaussian
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.nce import check_minibatch, draw_normal, nce_loss


class MovingNoise:
    """p_n = a Gaussian of the same lattice that can be moved to a fit, with a learned constant for its log Z.

    Args:
      layer: the `StencilPrecision` that is fitted; the noise begins at its present weights.
      log_partition: log Z of that Gaussian.
    """

    def __init__(self, layer: StencilPrecision, log_partition: float) -> None:
        self.layer = layer
        self.event_shape = tf.TensorShape([layer.height, layer.width])
        self.theta = tf.Variable(layer.theta.value, trainable=False)
        self.log_partition = tf.Variable(log_partition, dtype=tf.float32, trainable=False)
        self._factor = tf.nest.map_structure(lambda t: tf.Variable(t, trainable=False), float32_sampler(layer))

    def move(self, log_partition: tf.Tensor | float) -> None:
        """Moves the noise to the layer's present weights, with their learned log Z."""
        self.theta.assign(self.layer.theta.value)
        self.log_partition.assign(log_partition)
        tf.nest.map_structure(lambda v, t: v.assign(t), self._factor, float32_sampler(self.layer))

    def sample(self, n: int, seed: Sequence[int]) -> tf.Tensor:
        """n exact draws, [n, H, W]."""
        factor = tf.nest.map_structure(tf.convert_to_tensor, self._factor)
        return factor.colour(white_images(n, self.layer, seed))


class TelescopedNCE:
    """NCE against a `MovingNoise`: B images and ν·B noise images, rounded, at least one; without the coins z of Step 1.

    Args:
      noise: p_n, on the lattice of the models that are fitted; noise_ratio: ν > 0.
    """

    def __init__(self, noise: MovingNoise, noise_ratio: float = 1.0) -> None:
        if not isinstance(noise, MovingNoise):
            raise TypeError(f"noise must be a MovingNoise, not a {type(noise).__name__}")
        self.noise, self.noise_ratio = noise, positive("noise_ratio", noise_ratio)
        self.log_partition = tf.Variable(noise.log_partition, name="log_partition")
        self.trainable_variables = (self.log_partition,)

    def log_ratio(self, model: LatticeGaussian | StencilPrecision, x: tf.Tensor) -> tf.Tensor:
        """G(x), [N]; of two Gaussians on one lattice it is linear in the difference of their weights."""
        layer = as_gaussian(model).precision
        if not isinstance(layer, StencilPrecision):
            raise TypeError(f"model must hold a StencilPrecision, not a {type(layer).__name__}")
        difference = layer.theta.value - self.noise.theta
        return -0.5 * layer.quadratic_form(x, difference) - (self.log_partition - self.noise.log_partition)

    def loss(self, model: LatticeGaussian | StencilPrecision, x: tf.Tensor, seed: Sequence[int]) -> tf.Tensor:
        """−J on images x [B, H, W] and ν·B noise images; `seed` is a pair of integers."""
        check_minibatch(self, model, x, seed)
        drawn = self.noise.sample(max(1, round(x.shape[0] * self.noise_ratio)), seed)
        return nce_loss(self.log_ratio(model, x), self.log_ratio(model, drawn), self.noise_ratio)


def white_images(n: int | tf.Tensor, layer: Any, seed: Sequence[int]) -> tf.Tensor:
    """n images of independent N(0, 1), [n, H, W]; by rows, whose number is more often even: normals come in pairs."""
    return tf.reshape(draw_normal([n * layer.height, layer.width], seed), [n, layer.height, layer.width])


def float32_sampler(layer: StencilPrecision, theta: np.ndarray | None = None) -> Any:
    """A float32 factor of Σ(θ), see `LinearOperatorLattice.sampler`; the layer's own θ where none is given."""
    return _float32_factor(layer.operator(theta))


@graph_by_size
def _float32_factor(operator):
    return tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), operator.sampler())
