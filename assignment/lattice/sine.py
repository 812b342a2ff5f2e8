"""The discrete sine transform, which diagonalises a homogeneous stencil on a lattice with zero boundary.

With S_n[i, j] = √(2/(n+1)) sin(π(i+1)(j+1)/(n+1)), symmetric and orthogonal, the eigenvectors of
Λ = a + b·(right) + c·(down) + d·(both diagonals) are S_H ⊗ S_W and the eigenvalues
a + 2b cos(πj/(W+1)) + 2c cos(πi/(H+1)) + 4d cos(πi/(H+1)) cos(πj/(W+1)) (Strang, SIAM Review 41(1), 1999).
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf


def sine_matrix(n, dtype):
    """S_n, [n, n]."""
    k = np.arange(1, n + 1)
    return tf.constant(np.sqrt(2 / (n + 1)) * np.sin(np.pi * np.outer(k, k) / (n + 1)), dtype)


def sine_transform(x):
    """S_H x S_W for x [..., H, W]; its own inverse."""
    height, width = x.shape[-2:]
    return sine_matrix(height, x.dtype) @ x @ sine_matrix(width, x.dtype)


def symbols(height, width, offsets):
    """The eigenvalues of ∂Λ/∂θ_k for a homogeneous stencil, float64 [1 + K, H, W]; Λ's are θ · symbols.

    The two diagonal directions have this form only for equal weights, each then half of their sum.
    """
    rows = np.cos(np.pi * np.arange(1, height + 1) / (height + 1))[:, None]
    columns = np.cos(np.pi * np.arange(1, width + 1) / (width + 1))[None, :]
    ones = np.ones((height, width))
    directions = [2 * (rows if down else 1) * (columns if right else 1) * ones for down, right in offsets]
    return np.stack([ones, *directions])


class SineRoot(NamedTuple):
    """Λ^(−½) of a homogeneous stencil, by `scale` = λ^(−½), [..., H, W]."""

    scale: tf.Tensor

    def colour(self, x):
        """S(λ^(−½) ∘ x)S: standard normal x [..., H, W] become draws of N(0, Λ⁻¹)."""
        return sine_transform(self.scale * x)
