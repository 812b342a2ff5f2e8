"""The least eigenvalue of a lattice precision that is too large for a dense matrix."""

from __future__ import annotations

import tensorflow as tf

from assignment.lattice.cholesky import block_cholesky, log_determinant
from assignment.lattice.stencil import Offset

TOLERANCE = 1e-6  # A bound on the relative error; in most cases the error is about its square.


@tf.function
def least_eigenvalue(diagonal: tf.Tensor, couplings: tf.Tensor, offsets: tuple[Offset, ...]) -> tf.Tensor:
    """The least eigenvalue of Λ, [...], for the arguments of `block_cholesky`.

    It is the inverse of the largest eigenvalue of Σ, which Lanczos' method finds. A Λ that is not positive definite
    is shifted first by a lower bound of its eigenvalues (Gershgorin).
    """
    pixels = [-2, -1]
    bound = tf.reduce_min(diagonal, pixels) - 2 * tf.reduce_sum(tf.reduce_max(tf.abs(couplings), pixels), axis=-1)
    definite = tf.math.is_finite(log_determinant(diagonal, couplings, offsets))
    shift = tf.where(definite, tf.zeros_like(bound), bound - 0.01 * tf.reduce_max(tf.abs(diagonal), pixels))
    factor = block_cholesky(diagonal - shift[..., None, None], couplings, offsets)
    start = tf.random.stateless_normal(tf.shape(diagonal), [0, 0], dtype=diagonal.dtype)
    return shift + 1 / _largest_eigenvalue(factor, start)


def _largest_eigenvalue(factor, start):
    """The largest eigenvalue of Σ = L⁻ᵀL⁻¹, [...], from a random image [..., H, W].

    Every new vector is made orthogonal to all before it (Parlett, The Symmetric Eigenvalue Problem, chapter 13).
    """
    height, width = start.shape[-2:]
    batch, free = tf.shape(start)[:-2], start.shape[:-2]
    vector = tf.linalg.normalize(_flat(start), axis=-1)[0]
    basis = vector[..., None, :]
    diagonal = beside = tf.zeros(tf.concat([batch, [0]], axis=0), start.dtype)
    largest, error = tf.zeros(batch, start.dtype), tf.ones(batch, start.dtype)
    while tf.reduce_any(error > TOLERANCE * largest):
        tf.autograph.experimental.set_loop_options(
            shape_invariants=[
                (basis, tf.TensorShape([*free, None, height * width])),
                (diagonal, tf.TensorShape([*free, None])),
                (beside, tf.TensorShape([*free, None])),
            ]
        )
        image = tf.reshape(vector, tf.shape(start))
        new = _flat(factor.colour(factor.solve_lower(image[None]))[0])
        diagonal = tf.concat([diagonal, tf.reduce_sum(vector * new, axis=-1, keepdims=True)], axis=-1)
        for _ in range(2):  # The second time removes what the rounding of the first one left.
            new -= tf.linalg.matvec(basis, tf.linalg.matvec(basis, new), transpose_a=True)
        length = tf.norm(new, axis=-1, keepdims=True)
        small = tf.linalg.diag(diagonal) + tf.linalg.diag(beside, k=1) + tf.linalg.diag(beside, k=-1)
        values, vectors = tf.linalg.eigh(small)
        largest, error = values[..., -1], length[..., 0] * tf.abs(vectors[..., -1, -1])
        vector = tf.math.divide_no_nan(new, length)
        beside = tf.concat([beside, length], axis=-1)
        basis = tf.concat([basis, vector[..., None, :]], axis=-2)
    return largest


def _flat(images):
    return tf.reshape(images, tf.concat([tf.shape(images)[:-2], [images.shape[-2] * images.shape[-1]]], axis=0))
