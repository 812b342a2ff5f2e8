"""Score matching for lattice Gaussians (Hyvärinen, JMLR 6, 2005), plain and preconditioned.

With a positive definite M the objective is E[∇·(M∇f_θ)] + ½E‖M^½∇f_θ‖² = ½E‖M^½Λx‖² − tr(MΛ): a quadratic in the
weights, which neither log Z nor sampling enters. M = I is Hyvärinen's. M = Σ̂ of a fit near the optimum has there the
stationarity of maximum likelihood, E_data[s] = E_θ[s] (a diffusion Stein discrepancy; Barp et al., NeurIPS 2019).
"""

from collections.abc import Sequence

import tensorflow as tf

from assignment.lattice.cholesky import graph_by_size
from assignment.lattice.gaussian import LatticeGaussian, as_gaussian
from assignment.lattice.precision import StencilPrecision


class ScoreMatching:
    """½E‖M^½Λx‖² − tr(MΛ).

    Args:
      preconditioner: a zero-mean `LatticeGaussian` whose covariance, as it is now, is M; None for M = I.
    """

    trainable_variables = ()

    def __init__(self, preconditioner: LatticeGaussian | None = None) -> None:
        self._parts = None
        if preconditioner is not None:
            if not isinstance(preconditioner, LatticeGaussian):
                raise TypeError(f"preconditioner must be a LatticeGaussian, not a {type(preconditioner).__name__}")
            parts = _parts(preconditioner.operator())
            self._parts = tf.nest.map_structure(lambda t: tf.Variable(t, trainable=False), parts)

    def move(self, preconditioner: LatticeGaussian) -> None:
        """Makes the present covariance of a `LatticeGaussian` on the same lattice the new M."""
        tf.nest.map_structure(lambda v, t: v.assign(t), self._parts, _parts(preconditioner.operator()))

    def loss(
        self, model: LatticeGaussian | StencilPrecision, x: tf.Tensor, seed: Sequence[int] | None = None
    ) -> tf.Tensor:
        """The objective on images x [N, H, W]; nothing is drawn, so `seed` is not used."""
        model = as_gaussian(model)
        score = model.score(x)
        if self._parts is None:
            return 0.5 * tf.reduce_mean(tf.reduce_sum(score**2, axis=[-2, -1])) - model.operator().trace()
        factor, variances, covariances = tf.nest.map_structure(tf.convert_to_tensor, self._parts)
        if variances.shape != score.shape[-2:]:
            raise ValueError(f"preconditioner must be on images of {score.shape[-2:]}, not {variances.shape}")
        # ½vᵀMv has the gradient Mv: no need to differentiate through the solution of Λ̂y = v.
        weighted = tf.stop_gradient(factor.solve(score))
        linear = tf.reduce_mean(tf.reduce_sum(score * weighted, axis=[-2, -1]))
        diagonal, couplings = model.operator().full_fields()
        trace = tf.reduce_sum(diagonal * variances) + 2 * tf.reduce_sum(couplings * covariances)
        return linear - 0.5 * tf.stop_gradient(linear) - trace


@graph_by_size
def _parts(operator):
    """M = Λ⁻¹ as a factor of it and its entries where Λ has its own, all float32."""
    return tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), (operator.sampler(), *operator.selected_inverse()))
