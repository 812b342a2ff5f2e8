"""The Kullback-Leibler divergence of two lattice Gaussians."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def kl_divergence(a: Any, b: Any, name: str | None = None) -> tf.Tensor:
    """KL(a ‖ b) = ½[tr(Λ_b Σ_a) − D + (μ_a − μ_b)ᵀΛ_b(μ_a − μ_b)] + log Z_b − log Z_a, [...].

    The trace takes Σ_a only where Λ_b has entries. Register it with `tfd.RegisterKL`, as gaussian.py does.

    Args:
      a, b: `LatticeGaussian`s on images of one size.
    """
    if a.event_shape != b.event_shape:
        raise ValueError(
            f"the divergence needs densities of images of one size, not of {a.event_shape}, {b.event_shape}"
        )
    with tf.name_scope(name or "kl_divergence"):
        near, operator = a.operator().near_covariances(), b.operator()
        diagonal, couplings = (tf.cast(field, tf.float64) for field in operator.full_fields())
        covariances = tf.stack([near[..., down, 3 + right, :, :] for down, right in operator.offsets], axis=-3)
        trace = tf.reduce_sum(diagonal * near[..., 0, 3, :, :], axis=[-2, -1])
        trace += 2 * tf.reduce_sum(couplings * covariances, axis=[-3, -2, -1])
        constant = 0.5 * (trace - a.pixels) + b.log_partition() - a.log_partition()
        return tf.cast(constant, a.dtype) - b.unnormalized_log_prob(a.mean())
