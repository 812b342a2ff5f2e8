"""Exact maximum likelihood: the yardstick every other estimator is held against, not an answer to the exercise."""

import numpy as np
import tensorflow as tf

from assignment.checks import array, determined, positive, varying, whole
from assignment.lattice.gaussian import as_gaussian
from assignment.lattice.information import moments_and_information

ROUNDING = 1e-13  # a gain below this share of the likelihood cannot be seen in double precision


class MaximumLikelihood:
    """−E_data[log p_θ(x)], with the exact log Z."""

    trainable_variables = ()

    def loss(self, model, x, seed=None):
        """−mean log p_θ(x) over images x [N, H, W], in nats per image; nothing is drawn, so `seed` is not used."""
        return -tf.reduce_mean(as_gaussian(model).log_prob(x))


def mean_log_likelihood(layer, moments):
    """E_data[log p_θ(x)] in nats per image, float64, from the data's average moments [P] alone."""
    log_partition = as_gaussian(layer).log_partition()
    return -0.5 * float(layer.theta.numpy().astype(np.float64) @ moments) - float(log_partition)


def fisher_scoring(layer, moments, tolerance=1e-4, max_iterations=50):
    """Fits a float64 layer by Fisher scoring, which for an exponential family is Newton's method.

    θ ← θ + tF⁻¹(E_data[s] − E_θ[s]), t halved until Λ is positive definite and the likelihood has risen.

    Args:
      layer: `StencilPrecision` of dtype float64 at a positive definite start; left at the maximum.
      moments: the data's average `quadratic_moments`, float64 [P].
      tolerance: the step that promises less than this (half the Newton decrement, nats per image) is the last one.
        Convergence being quadratic, what is left after it is of the order of its square.

    Returns:
      The mean log-likelihood after each iteration, nats per image.

    Raises:
      ValueError: bad arguments, or pixels that are zero in every image, whose likelihood is unbounded.
      RuntimeError: the maximum was not reached, or there is none.
    """
    moments = array("moments", moments, layer.theta.shape)
    determined(layer)
    varying(moments[: layer.group_sizes[0]])
    positive("tolerance", tolerance)
    whole("max_iterations", max_iterations, least=1)
    history = [mean_log_likelihood(layer, moments)]
    for _ in range(max_iterations):
        expected, information = moments_and_information(layer)
        gradient = 0.5 * (expected - moments)
        step = _solve(information, gradient)
        to_gain = 0.5 * gradient @ step
        if abs(to_gain) < ROUNDING * abs(history[-1]):
            layer.assign_theta(layer.theta.numpy() + step)
            return history
        history.append(_backtrack(layer, moments, step, history[-1]))
        if to_gain < tolerance:
            return history
    raise RuntimeError(f"maximum likelihood did not converge: {to_gain:.2g} nats per image still to gain")


def _solve(information, gradient):
    try:
        return np.linalg.solve(information, gradient)  # LAPACK: TensorFlow's solvers use one core.
    except np.linalg.LinAlgError:
        raise RuntimeError("maximum likelihood did not converge: the Fisher information became singular") from None


def _backtrack(layer, moments, step, before):
    start = layer.theta.numpy()
    for halvings in range(40):
        layer.theta.assign(start + 0.5**halvings * step)
        after = mean_log_likelihood(layer, moments)
        if after > before:  # False for the NaN of an indefinite Λ.
            return after
    layer.theta.assign(start)
    raise RuntimeError("maximum likelihood did not converge: no step along Newton's direction raises the likelihood")
