"""Coordinates φ of the weights in which the Fisher information is about the identity, for the optimizers."""

import numpy as np
import tensorflow as tf

from assignment.lattice.information import expected_moments, near_information, shared_information
from assignment.lattice.nearby import SparseRows, near_weights, sparse_whitening
from assignment.lattice.precision import StencilPrecision


def whitening_matrix(layer: StencilPrecision, theta: np.ndarray | None = None) -> tuple[np.ndarray, SparseRows]:
    """(the expected moments E_θ[xᵀA_k x], float64 [P]; W with W F Wᵀ ≈ I), at the layer's weights or at θ [P].

    W is the exact inverse of F's Cholesky factor for shared weights. It is sparse for per-edge ones, where the
    eigenvalues of W F Wᵀ are as a rule between 0.5 and 5.
    """
    if layer.shared:
        moments, information = shared_information(layer, theta)
        return moments, dense_whitening(layer, information)
    moments, entries = near_information(layer, theta)
    return moments, sparse_whitening(_places(layer), entries)


def _places(layer):
    if layer.shared:
        weights = np.arange(layer.theta.shape[0])
        return np.where(weights <= weights[:, None], weights, -1)
    return near_weights(layer.connectivity, layer.height, layer.width)[0]


def dense_whitening(layer: StencilPrecision, matrix: np.ndarray) -> SparseRows:
    """L⁻¹ with LLᵀ = a matrix [P, P] of shared weights, plus some of its diagonal where it is singular to rounding."""
    scale = np.sqrt(np.diag(matrix))
    scaled = matrix / np.outer(scale, scale)
    least = np.linalg.eigvalsh(scaled)[0]
    rounding = len(scaled) * np.finfo(np.float64).eps
    factor = np.linalg.cholesky(scaled + max(0.0, 2 * rounding - least) * np.eye(len(scaled)))
    return SparseRows(_places(layer), np.linalg.inv(factor) / scale)


class Whitening:
    """φ of θ = θ₀ + Wᵀφ, with a sparse W: θ₀ and W are those of a Gaussian, see `centre`.

    ‖φ‖ is about the spread (standard deviation, in nats) over that Gaussian of the log-ratio between it and the model:
    exactly for shared weights, and within the roots of the extreme eigenvalues of W F Wᵀ for per-edge ones.

    Attributes:
      current: W of the present origin; moments: the expected ones there, float64 [P].
      fixed: W, where it is to stay the same at every origin; None as a rule: `centre` renews it.
      loss_unit: what the loss is divided by, where it has a unit of its own: Adam and RMSProp take gradients below a
        fixed number for zero.
    """

    def __init__(self, layer: StencilPrecision) -> None:
        self.layer, self.current, self.moments, self.fixed, self.loss_unit = layer, None, None, None, 1.0
        self.origin = tf.Variable(layer.theta.value, trainable=False)
        self._places = tf.constant(np.maximum(_places(layer), 0), tf.int32)  # The value of what is nothing is 0.
        self._values = tf.Variable(tf.zeros(self._places.shape, layer.theta.dtype), trainable=False)

    def centre(self) -> None:
        """Makes the layer's present Gaussian the origin."""
        if self.fixed is None:
            self.moments, self.current = whitening_matrix(self.layer)
        else:
            self.moments, self.current = expected_moments(self.layer), self.fixed
        self.origin.assign(self.layer.theta.value)
        self._values.assign(self.current.values)

    def gradient(self, gradient: tf.Tensor) -> tf.Tensor:
        """The gradient in φ: W times that in θ, [P], over `loss_unit`."""
        return tf.reduce_sum(self._values * tf.gather(gradient, self._places), axis=1) / self.loss_unit

    def shift(self, phi: tf.Tensor) -> tf.Tensor:
        """θ − θ₀ = Wᵀφ, [P]."""
        return tf.math.unsorted_segment_sum(self._values * phi[:, None], self._places, phi.shape[0])
