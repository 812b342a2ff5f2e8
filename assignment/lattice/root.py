"""The symmetric root Λ^(−½) of a dense matrix, with a gradient that exists where eigenvalues coincide."""

from __future__ import annotations

import tensorflow as tf


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
