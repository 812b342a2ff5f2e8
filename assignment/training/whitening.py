"""Coordinates φ of the weights in which the Fisher information is about the identity, for the optimizers."""

import numpy as np
import tensorflow as tf

from assignment.lattice.information import near_information, shared_information
from assignment.lattice.nearby import SparseRows, near_weights, sparse_whitening
from assignment.lattice.precision import StencilPrecision


def whitening_matrix(layer: StencilPrecision, theta: np.ndarray | None = None) -> tuple[np.ndarray, SparseRows]:
    """(the expected moments E_θ[xᵀA_k x], float64 [P]; W with W F Wᵀ ≈ I), at the layer's weights or at θ [P].

    W is the exact inverse of F's Cholesky factor for shared weights. It is sparse for per-edge ones, where the
    eigenvalues of W F Wᵀ are as a rule between 0.5 and 5.
    """
    if layer.shared:
        moments, information = shared_information(layer, theta)
        return moments, SparseRows(_places(layer), _dense_whitening(information))
    moments, entries = near_information(layer, theta)
    return moments, sparse_whitening(_places(layer), entries)


def _places(layer):
    if layer.shared:
        weights = np.arange(layer.theta.shape[0])
        return np.where(weights <= weights[:, None], weights, -1)
    return near_weights(layer.connectivity, layer.height, layer.width)[0]


def _dense_whitening(information):
    """L⁻¹ with LLᵀ = F; where F is singular to rounding, that of F + δI with δ just above it."""
    scale = np.sqrt(np.diag(information))
    scaled = information / np.outer(scale, scale)
    least = np.linalg.eigvalsh(scaled)[0]
    rounding = len(scaled) * np.finfo(np.float64).eps
    factor = np.linalg.cholesky(scaled + max(0.0, 2 * rounding - least) * np.eye(len(scaled)))
    return np.linalg.inv(factor) / scale


class Whitening:
    """φ of θ = θ₀ + Wᵀφ, with a sparse W: θ₀ and W are those of a Gaussian, see `centre`.

    ‖φ‖ is about the spread (standard deviation, in nats) over that Gaussian of the log-ratio between it and the model:
    exactly for shared weights, and within the roots of the extreme eigenvalues of W F Wᵀ for per-edge ones.
    """

    def __init__(self, layer: StencilPrecision) -> None:
        places = _places(layer)
        self.layer = layer
        self._places = tf.constant(np.maximum(places, 0), tf.int32)
        self._transposed, columns = transposed(places)
        self._columns = tf.constant(columns, tf.int32)
        dtype = layer.theta.dtype
        self.origin = tf.Variable(layer.theta.value, trainable=False)
        self._values = tf.Variable(tf.zeros(places.shape, dtype), trainable=False)
        self._transposed_values = tf.Variable(tf.zeros(columns.shape, dtype), trainable=False)

    def centre(self) -> np.ndarray:
        """Makes the layer's present Gaussian the origin; returns its expected moments, float64 [P]."""
        moments, matrix = whitening_matrix(self.layer)
        self.origin.assign(self.layer.theta.value)
        self._values.assign(matrix.values)
        self._transposed_values.assign(np.append(matrix.values.ravel(), 0.0)[self._transposed])
        return moments

    def gradient(self, gradient: tf.Tensor) -> tf.Tensor:
        """The gradient in φ: W times that in θ, [P]."""
        return tf.reduce_sum(self._values * tf.gather(gradient, self._places), axis=1)

    def shift(self, phi: tf.Tensor) -> tf.Tensor:
        """θ − θ₀ = Wᵀφ, [P]."""
        return tf.reduce_sum(self._transposed_values * tf.gather(phi, self._columns), axis=1)


def transposed(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the columns of a sparse matrix stand whose rows are held at `places`, [P, m], −1 for nothing.

    Returns:
      (which of the P·m values each entry of a column is, [P, n], P·m for nothing; the row that it is in, [P, n]).
    """
    rows, slots = np.nonzero(places >= 0)
    columns = places[rows, slots]
    order = np.argsort(columns, kind="stable")
    counts = np.bincount(columns, minlength=len(places))
    position = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    found = np.full((len(places), counts.max()), places.size)
    found[columns[order], position] = rows[order] * places.shape[1] + slots[order]
    return found, np.where(found < places.size, found // places.shape[1], 0)
