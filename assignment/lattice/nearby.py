"""Which weights of a per-edge lattice are near each other, and the sparse whitening of a matrix between them.

Two weights are near where their middles, the pixel itself or the middle of an edge, are at most one pixel apart in
either direction. The ends of near edges are at most two pixels apart, and those of two edges that are
both near a third edge at most three.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from assignment.lattice.stencil import weight_pixels

CHUNK = 512  # weights whose small systems are solved at once: they stay in the cache
JITTER = 1e-10  # of the unit diagonal: at the border of the cone the small systems are singular but for rounding

Entries = Callable[[np.ndarray, np.ndarray], np.ndarray]


class SparseRows(NamedTuple):
    """A sparse matrix [P, P]: row k has `values`[k] at `places`[k], both [P, m]; places are −1 for nothing."""

    places: np.ndarray
    values: np.ndarray

    def product(self, v: np.ndarray) -> np.ndarray:
        """The product with v, [P]."""
        return np.einsum("km,km->k", self.values, v[self.places])

    def transposed_product(self, v: np.ndarray) -> np.ndarray:
        """The product of the transposed matrix with v, [P]."""
        return np.bincount(np.maximum(self.places, 0).ravel(), (self.values * v[:, None]).ravel(), len(v))


@functools.lru_cache(maxsize=4)
def near_weights(connectivity: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The near weights of each weight, by number, with −1 where there are fewer.

    Returns:
      (before [P, m], around [P, n]): those that come before it when the weights are ordered by their middles, row by
      row, and itself as the last; and those on all sides.
    """
    upper, lower = weight_pixels(connectivity, height, width)
    row, column = upper // width + lower // width, upper % width + lower % width  # twice the middle
    second = ((lower // width > upper // width) & (lower % width < upper % width)) * 1  # two diagonals share a middle
    weight_at = np.full((2 * height + 3, 2 * width + 3, 2), -1)
    weight_at[row + 2, column + 2, second] = np.arange(len(row))
    windows = np.lib.stride_tricks.sliding_window_view(weight_at, (5, 5), axis=(0, 1))
    around = np.moveaxis(windows[row, column], 1, -1).reshape(len(row), -1)  # row by row; 24 and 25 are in the middle
    before = np.where(np.arange(50) <= 24 + second[:, None], around, -1)
    return _packed(before), _packed(around)


def _packed(members):
    """Moves the −1 of each row to its front, and leaves out what no row needs."""
    there = members >= 0
    order = np.argsort(there, axis=1, kind="stable")[:, -np.max(np.sum(there, axis=1)) :]
    return np.take_along_axis(members, order, axis=1)


def sparse_whitening(before: np.ndarray, entries: Entries) -> SparseRows:
    """The rows of a sparse W with W F Wᵀ ≈ I, for a positive definite F [P, P].

    A factorised sparse approximate inverse (Kolotilina & Yeremin, SIAM J. Matrix Anal. Appl. 14(1), 1993): row k is
    g/√g_k with F[J, J] g = e_k, where J are the near weights before k and k itself.

    Args:
      before: J by row, [P, m], see `near_weights`.
      entries: entries(k, l) gives F_kl for arrays of numbers k and l.
    """
    values = [_rows(before[k : k + CHUNK], entries) for k in range(0, len(before), CHUNK)]
    return SparseRows(before, np.concatenate(values))


def _rows(members, entries):
    there = members >= 0
    members = np.where(there, members, members[:, -1:])
    scale = np.where(there, np.sqrt(entries(members, members)), 1.0)
    small = entries(members[:, :, None], members[:, None, :]) / (scale[:, :, None] * scale[:, None, :])
    small = np.where(there[:, :, None] & there[:, None, :], small, 0.0)
    unit = np.eye(members.shape[1])
    small = np.where(unit == 1, 1 + JITTER, small)
    solved = np.linalg.solve(small, np.broadcast_to(unit[:, -1:], (*members.shape, 1)))[..., 0]
    good = np.isfinite(solved).all(axis=1, keepdims=True) & (solved[:, -1:] > 0)
    row = np.divide(solved, np.sqrt(np.abs(solved[:, -1:])), out=np.zeros_like(solved), where=good)
    return np.where(good, row, unit[-1]) / scale


def near_matrix(around: np.ndarray, entries: Entries) -> SparseRows:
    """A matrix that is zero between weights that are not near; `around` from `near_weights`."""
    rows = np.arange(len(around))[:, None]
    chunks = [slice(k, k + CHUNK) for k in range(0, len(around), CHUNK)]
    itself = np.where(around >= 0, around, rows)  # instead of nothing
    values = np.concatenate([entries(rows[chunk], itself[chunk]) for chunk in chunks])
    return SparseRows(around, np.where(around >= 0, values, 0.0))
