"""Coordinates in which all directions are alike, for the optimizers."""

import numpy as np
import tensorflow as tf


class Whitening:
    """φ of θ = θ₀ + L⁻ᵀQᵀφ, with the identity for L and θ for θ₀ until it is centred.

    With LLᵀ the Fisher information of a known distribution, ‖φ‖ is the spread (standard deviation, in nats) over that
    distribution of the log-ratio between the model and where it started. Behind a triangular L the way to a fit lies in
    few coordinates, and Adam and RMSProp, which move none of them further than their rate, take long; an orthogonal Q
    spreads it over all, by random signs and a cosine transform (Ailon & Chazelle 2009). Then Adam divides all of them
    by the gradients of the way, and must forget these on arrival; so Q is 1 unless it is asked for.

    Args:
      theta: θ₀, [P].
      diagonal: whether L is diagonal, and held as a vector [P].
      turned: whether to turn by Q.
    """

    def __init__(self, theta, diagonal=False, turned=False):
        weights, dtype = theta.shape[0], theta.dtype
        self.diagonal, self.turned = diagonal, turned
        self.origin = tf.Variable(theta, trainable=False)
        ones = tf.ones([weights], dtype)
        self.root = tf.Variable(ones if diagonal else tf.linalg.diag(ones), trainable=False)
        self._signs = tf.constant(np.random.default_rng(0).choice([-1.0, 1.0], weights), dtype)

    @property
    def variables(self):
        """All that a checkpoint must hold."""
        return [self.origin, self.root]

    def centre(self, theta, root):
        """Makes θ the origin, and L = `root`, [P, P] or [P]."""
        self.origin.assign(theta)
        self.root.assign(root)

    def gradient(self, gradient):
        """In φ, QL⁻¹ times that in θ, [P]."""
        if self.diagonal:
            solved = gradient / self.root
        else:
            solved = tf.linalg.triangular_solve(self.root, gradient[:, None])[:, 0]
        return tf.signal.dct(self._signs * solved, norm="ortho") if self.turned else solved

    def shift(self, phi):
        """θ − θ₀ = L⁻ᵀQᵀφ, [P]."""
        if self.turned:
            phi = self._signs * tf.signal.dct(phi, type=3, norm="ortho")
        if self.diagonal:
            return phi / self.root
        return tf.linalg.triangular_solve(self.root, phi[:, None], adjoint=True)[:, 0]

    def length(self, shift):
        """‖φ‖, in nats of spread, of a shift θ − θ₀, [P]."""
        root = self.root.numpy()
        return float(np.linalg.norm(root * shift if self.diagonal else root.T @ shift))
