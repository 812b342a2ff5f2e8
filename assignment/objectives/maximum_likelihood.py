"""Maximum likelihood with the exact log Z: the yardstick, for it is what an unnormalised model cannot have."""

from collections.abc import Sequence

import tensorflow as tf

from assignment.lattice.gaussian import LatticeGaussian, as_gaussian
from assignment.lattice.precision import StencilPrecision


class MaximumLikelihood:
    """−E_data[log p_θ(x)], with the exact log Z."""

    trainable_variables = ()

    def loss(
        self, model: LatticeGaussian | StencilPrecision, x: tf.Tensor, seed: Sequence[int] | None = None
    ) -> tf.Tensor:
        """−mean log p_θ(x) over images x [N, H, W], in nats per image; nothing is drawn, so `seed` is not used."""
        return -tf.reduce_mean(as_gaussian(model).log_prob(x))
