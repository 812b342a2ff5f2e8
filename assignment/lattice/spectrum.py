"""What is found from eigenvalues: the symmetric root of a dense Λ, and the least eigenvalue of a large one."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from assignment.lattice.cholesky import block_cholesky, log_determinant

TOLERANCE = 1e-6  # A bound on the relative error; in most cases the error is about its square.


@tf.custom_gradient
def inverse_root(matrix: tf.Tensor) -> tf.Tensor:
    """Λ^(−½) for symmetric Λ [..., D, D]; NaN where Λ is not positive definite.

    With Λ = VDVᵀ the derivative is V(K ∘ VᵀdΛV)Vᵀ, where K_ij is the divided difference of λ^(−½) between λ_i and λ_j
    (Daleckii & Krein; Higham, Functions of Matrices, theorem 3.11), −1 / (√λ_i √λ_j (√λ_i + √λ_j)): finite where
    λ_i = λ_j, unlike the gradient of `tf.linalg.eigh`, which divides by λ_i − λ_j.
    """
    values, vectors = tf.linalg.eigh(matrix)
    roots = tf.sqrt(values)

    def gradient(upstream):
        one, other = roots[..., :, None], roots[..., None, :]
        inner = tf.linalg.matmul(vectors, upstream @ vectors, transpose_a=True)
        return tf.linalg.matmul(vectors @ (-inner / (one * other * (one + other))), vectors, transpose_b=True)

    return tf.linalg.matmul(vectors / roots[..., None, :], vectors, transpose_b=True), gradient


def least_eigenvalue(diagonal: tf.Tensor, couplings: tf.Tensor) -> np.ndarray:
    """The least eigenvalue of Λ, [...], for the arguments of `block_cholesky`, outside of graphs.

    It is the inverse of the largest eigenvalue of Σ. A Λ that is not positive definite is shifted first by a lower
    bound of its eigenvalues (Gershgorin).
    """
    pixels = [-2, -1]
    bound = tf.reduce_min(diagonal, pixels) - 2 * tf.reduce_sum(tf.reduce_max(tf.abs(couplings), pixels), axis=-1)
    definite = tf.math.is_finite(log_determinant(diagonal, couplings))
    shift = tf.where(definite, tf.zeros_like(bound), bound - 0.01 * tf.reduce_max(tf.abs(diagonal), pixels))
    factor = block_cholesky(diagonal - shift[..., None, None], couplings)
    solve = tf.function(lambda x: factor.solve(x[None])[0], autograph=False)
    return shift.numpy() + 1 / _largest_eigenvalue(solve, np.random.default_rng(0).standard_normal(diagonal.shape))


def _largest_eigenvalue(product, start):
    """The largest eigenvalue, [...], of the matrix of product(x), by Lanczos' method from an image [..., H, W].

    Every new vector is made orthogonal to all before it (Parlett, The Symmetric Eigenvalue Problem, chapter 13).
    """
    basis, images, new = [], [], start
    while True:
        basis.append(new / np.linalg.norm(new, axis=(-2, -1), keepdims=True))
        images.append(product(basis[-1]).numpy())
        values, vectors = np.linalg.eigh(np.einsum("i...hw,j...hw->...ij", basis, images))
        new = images[-1]
        for _ in range(2):  # The second time removes what the rounding of the first one left.
            new = new - np.einsum("i...hw,i...->...hw", basis, np.einsum("i...hw,...hw->i...", basis, new))
        error = np.linalg.norm(new, axis=(-2, -1)) * np.abs(vectors[..., -1, -1])
        if np.all(error <= TOLERANCE * values[..., -1]):
            return values[..., -1]
