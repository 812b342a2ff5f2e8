"""Score matching for lattice Gaussians (Hyvärinen, JMLR 6, 2005), plain and preconditioned.

With a positive definite M the objective is E[∇·(M∇f_θ)] + ½E‖M^½∇f_θ‖² = ½E‖M^½Λx‖² − tr(MΛ): a quadratic in the
weights, which neither log Z nor sampling enters. M = I is Hyvärinen's; M = Σ̂ of a fit near the optimum has there the
stationarity of maximum likelihood, E_data[s] = E_θ[s] (a diffusion Stein discrepancy; Barp et al., NeurIPS 2019).
"""

import itertools

import numpy as np
import tensorflow as tf

from assignment.checks import array
from assignment.lattice.gaussian import as_gaussian
from assignment.lattice.information import pool_moments
from assignment.lattice.stencil import weight_pixels


class ScoreMatching:
    """½E‖M^½Λx‖² − tr(MΛ).

    Args:
      preconditioner: M, symmetric positive definite [D, D], as a tensor or variable; None is the identity.
    """

    trainable_variables = ()

    def __init__(self, preconditioner=None):
        if preconditioner is not None:
            check_preconditioner(preconditioner)
        self.preconditioner = preconditioner

    def loss(self, model, x, seed=None):
        """The objective on images x [N, H, W]; nothing is drawn, so `seed` is not used."""
        model = as_gaussian(model)
        score = tf.reshape(model.score(x), [-1, model.pixels])
        if self.preconditioner is None:
            return 0.5 * tf.reduce_mean(tf.reduce_sum(score**2, axis=-1)) - model.operator().trace()
        preconditioner = tf.cast(self.preconditioner, score.dtype)
        if preconditioner.shape != [model.pixels] * 2:
            raise ValueError(f"preconditioner must have shape [D, D], D = {model.pixels}, not {preconditioner.shape}")
        squares = tf.reduce_sum(score * (score @ preconditioner), axis=-1)
        return 0.5 * tf.reduce_mean(squares) - tf.linalg.trace(model.operator().matmul(preconditioner))


def check_preconditioner(preconditioner):
    """Refuses what is not a symmetric positive definite matrix."""
    shape = np.shape(preconditioner)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"preconditioner must be a matrix [D, D], not of shape {shape}")
    matrix = array("preconditioner", preconditioner, shape)
    if not np.allclose(matrix, matrix.T, rtol=1e-5, atol=1e-6 * np.abs(matrix).max()):
        raise ValueError("preconditioner must be symmetric; this matrix is not")
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise ValueError("preconditioner must be positive definite; this matrix is not") from None


def closed_form(layer, second_moments, preconditioner=None):
    """The θ at which score matching is stationary, float64 [P], whether or not Λ(θ) is positive definite.

    The objective is ½ Σ_kl θ_kθ_l tr(A_kMA_lS) − Σ_k θ_k tr(MA_k) with A_k = ∂Λ/∂θ_k: a linear system.

    Args:
      layer: says how θ makes Λ; its own θ is not used.
      second_moments: S = E_data[xxᵀ], [D, D].
      preconditioner: M [D, D]; None is the identity.

    Raises:
      ArithmeticError: the images leave it undetermined.
    """
    matrix = [layer.pixels] * 2
    moments = array("second_moments", second_moments, matrix)
    weight = np.eye(layer.pixels) if preconditioner is None else array("preconditioner", preconditioner, matrix)
    curvature, linear = _curvature(layer, weight, moments), pool_moments(layer, weight)
    try:
        theta = np.linalg.solve(curvature, linear)
    except np.linalg.LinAlgError:
        theta = np.full_like(linear, np.nan)
    if not np.allclose(curvature @ theta, linear, rtol=1e-6, atol=1e-6 * np.abs(linear).max()):
        raise ArithmeticError("score matching has no closed form: these images leave some weights undetermined")
    return theta


def _curvature(layer, weight, moments):
    """tr(A_kMA_lS), [P, P]."""
    rows, columns = weight_pixels(layer.connectivity, layer.height, layer.width)
    groups = np.split(np.arange(len(rows)), np.cumsum(layer.edge_counts)[:-1])
    starts = np.cumsum([0, *layer.group_sizes])
    curvature = np.empty([starts[-1]] * 2)
    for k, m in itertools.combinations_with_replacement(range(len(groups)), 2):
        (i, j), (a, b) = ((rows[g], columns[g]) for g in (groups[k], groups[m]))
        # A_k = e_ie_jᵀ + e_je_iᵀ for an edge; for a pixel, i = j, half of that.
        block = weight[np.ix_(j, a)] * moments[np.ix_(i, b)] + weight[np.ix_(i, a)] * moments[np.ix_(j, b)]
        block += weight[np.ix_(j, b)] * moments[np.ix_(i, a)] + weight[np.ix_(i, b)] * moments[np.ix_(j, a)]
        block *= (1 if k else 0.5) * (1 if m else 0.5)
        here, there = slice(*starts[k : k + 2]), slice(*starts[m : m + 2])
        curvature[here, there] = block.sum() if layer.shared else block
        curvature[there, here] = curvature[here, there].T
    return curvature
