"""The discrete sine transform, which diagonalises a homogeneous stencil of 4 neighbours with zero boundary.

With S_n[i, j] = √(2/(n+1)) sin(πij/(n+1)), i, j = 1 … n, symmetric and orthogonal, the eigenvectors of
Λ = a + b·(right) + c·(down) are S_H ⊗ S_W and the eigenvalues a + 2b cos(πj/(W+1)) + 2c cos(πi/(H+1))
(Strang, SIAM Review 41(1), 1999). With 8 neighbours it takes equal weights of both diagonals, which no fit has.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from assignment.lattice.stencil import Offset, offsets_of

# Axes this long are transformed by FFT, shorter ones by a product with S_n. Nanoseconds per pixel for both axes of
# n × n images on 2 cores, product : FFT, in float32 and float64. (An FFT is slow where n + 1 is prime: 256, 600.)
#     n     28       128      256      384      512      600      1000     1024
#     f32   2 : 14   5 : 12   7 : 25   11 : 12  13 : 11  16 : 17  22 : 10  23 : 12
#     f64   10 : 20  20 : 24  28 : 48  27 : 17  37 : 22  62 : 34  48 : 14  50 : 18
FFT_FROM = 512


@functools.cache
def sine_matrix(n: int) -> np.ndarray:
    """S_n, float64 [n, n]."""
    k = np.arange(1, n + 1)
    # sin has the period 2(n + 1) in the product of integers; large multiples of π would lose digits by rounding.
    return np.sqrt(2 / (n + 1)) * np.sin(np.pi / (n + 1) * (np.outer(k, k) % (2 * (n + 1))))


def sine_transform(x: tf.Tensor) -> tf.Tensor:
    """S_H x S_W for x [..., H, W]; its own inverse."""
    height, width = x.shape[-2:]
    x = x @ tf.constant(sine_matrix(width), x.dtype) if width < FFT_FROM else _transform_rows(x)
    if height < FFT_FROM:
        return tf.constant(sine_matrix(height), x.dtype) @ x
    return tf.linalg.matrix_transpose(_transform_rows(tf.linalg.matrix_transpose(x)))


def _transform_rows(x):
    """x S_n for x [..., n]: the imaginary part of a Fourier transform of twice the length."""
    n = x.shape[-1]
    padded = tf.pad(x, [(0, 0)] * (x.shape.rank - 1) + [(1, n + 1)])
    return -np.sqrt(2 / (n + 1)) * tf.math.imag(tf.signal.rfft(padded))[..., 1 : n + 1]


def _symbols(height, width, offsets):
    """The eigenvalues of ∂Λ/∂θ_k, each [H or 1, W or 1]."""
    rows, columns = _cosine(height)[:, None], _cosine(width)
    return [np.ones([1, 1])] + [2 * (rows if down else 1) * (columns if right else 1) for down, right in offsets]


def _cosine(n):
    """cos(πk/(n + 1)), k = 1 … n, as sines: the middle one is then exactly zero, as n = 1 needs, which has no edges."""
    k = np.arange(1, n + 1)
    return np.sin(np.pi * (n + 1 - 2 * k) / (2 * (n + 1)))


def symbols(height: int, width: int, offsets: tuple[Offset, ...]) -> np.ndarray:
    """The eigenvalues of ∂Λ/∂θ_k for a homogeneous stencil, float64 [1 + K, H, W]; Λ's are θ · symbols."""
    return np.stack([np.broadcast_to(symbol, [height, width]) for symbol in _symbols(height, width, offsets)])


def eigenvalues(diagonal: tf.Tensor, couplings: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The eigenvalues of a homogeneous Λ, float64 [..., H, W]; diagonal [..., 1, 1], couplings [..., K, 1, 1]."""
    weights = [diagonal, *tf.unstack(couplings, axis=-3)]
    symbols = _symbols(height, width, offsets_of(couplings))
    return sum(tf.cast(weight, tf.float64) * symbol for weight, symbol in zip(weights, symbols, strict=True))


class SineRoot(NamedTuple):
    """A root A = S∘λ^(−½) of Σ = AAᵀ, of a homogeneous stencil; `scale` is λ^(−½), [..., H, W]."""

    scale: tf.Tensor

    def colour(self, x: tf.Tensor) -> tf.Tensor:
        """S(λ^(−½) ∘ x)S: standard normal x [..., H, W] become draws of N(0, Λ⁻¹)."""
        return sine_transform(self.scale * x)

    def solve(self, x: tf.Tensor) -> tf.Tensor:
        """Σx for images x [..., H, W]."""
        return sine_transform(self.scale**2 * sine_transform(x))
