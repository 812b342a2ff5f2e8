"""Cholesky factorisation of a lattice precision, row of pixels by row of pixels.

Neighbours are at most one row apart, so Λ is block tridiagonal with H blocks of W × W, and so is its factor:
Λ = LLᵀ with L_hh = `diagonal[h]` and L_{h+1,h} = `below[h]` (Golub & Van Loan, Matrix Computations, section 4.5.1).
It costs O(H W³) time and O(H W²) memory, against O(H³W³) and O(H²W²) for the dense factorisation.
A matrix that is not positive definite leaves NaN in the factor.
"""

from typing import NamedTuple

import tensorflow as tf

from assignment.lattice.stencil import edge_ends


class BlockCholesky(NamedTuple):
    """The factor L: `diagonal` [H, ..., W, W], lower triangular, and `below` [H − 1, ..., W, W]."""

    diagonal: tf.Tensor
    below: tf.Tensor

    def log_determinant(self):
        """log det Λ, [...]; NaN where Λ is not positive definite."""
        return 2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(self.diagonal)), axis=[0, -1])

    def whiten(self, x):
        """L⁻¹x for images x [S, ..., H, W]."""
        x = _by_rows(x)
        first = tf.linalg.triangular_solve(self.diagonal[0], x[0])
        rows = _scan(
            lambda above, row: tf.linalg.triangular_solve(row[0], row[2] - row[1] @ above),
            (self.diagonal[1:], self.below, x[1:]),
            first,
        )
        return _by_images(rows)

    def colour(self, x):
        """L⁻ᵀx for images x [S, ..., H, W]: standard normal x become draws of N(0, Λ⁻¹)."""
        x = _by_rows(x)
        last = tf.linalg.triangular_solve(self.diagonal[-1], x[-1], adjoint=True)
        rows = _scan(
            lambda under, row: tf.linalg.triangular_solve(
                row[0], row[2] - tf.linalg.matmul(row[1], under, transpose_a=True), adjoint=True
            ),
            (self.diagonal[:-1], self.below, x[:-1]),
            last,
            reverse=True,
        )
        return _by_images(rows)


def _by_rows(x):
    """[S, ..., H, W] → [H, ..., W, S]."""
    rank = x.shape.rank
    return tf.transpose(x, [rank - 2, *range(1, rank - 2), rank - 1, 0])


def _by_images(x):
    """[H, ..., W, S] → [S, ..., H, W]."""
    rank = x.shape.rank
    return tf.transpose(x, [rank - 1, *range(1, rank - 2), 0, rank - 2])


def block_rows(diagonal, couplings, offsets):
    """Cuts Λ into blocks by rows of pixels.

    Args:
      diagonal: [..., H, W]; couplings: [..., K, H, W], zero where the neighbour is off the image.
      offsets: the K coupling directions.

    Returns:
      Λ_hh as [H, ..., W, W] and Λ_{h+1,h} as [H − 1, ..., W, W].
    """
    height, width = diagonal.shape[-2:]
    within = tf.linalg.diag(diagonal)
    between = tf.zeros_like(within[..., 1:, :, :])
    for k, (down, right) in enumerate(offsets):
        coupling = couplings[..., k, :, :]
        if down == 0:
            if width > 1:
                upper = tf.linalg.diag(coupling[..., :-1], k=1)
                within += upper + tf.linalg.matrix_transpose(upper)
        elif height > 1 and width > abs(right):
            first, _ = edge_ends((0, right))
            # Row h + 1, column w + right of Λ meets row h, column w: below the diagonal by `right`.
            between += tf.linalg.diag(coupling[..., :-1, :][first], k=-right, num_rows=width, num_cols=width)
    rank = within.shape.rank
    rows_first = [rank - 3, *range(rank - 3), rank - 2, rank - 1]
    return tf.transpose(within, rows_first), tf.transpose(between, rows_first)


@tf.function
def block_cholesky(within, between):
    """Factorises the block tridiagonal matrix that `block_rows` returns."""

    def eliminate(above, row):
        below = tf.linalg.matrix_transpose(tf.linalg.triangular_solve(above[0], tf.linalg.matrix_transpose(row[1])))
        return tf.linalg.cholesky(row[0] - tf.linalg.matmul(below, below, transpose_b=True)), below

    first = tf.linalg.cholesky(within[0])
    diagonal, below = _scan(eliminate, (within[1:], between), (first, tf.zeros_like(first)))
    return BlockCholesky(diagonal, below[1:])


def _scan(step, rows, first, reverse=False):
    """`tf.scan` from `first` over `rows`, with `first` among the results; there may be no rows."""
    if rows[0].shape[0] == 0:
        return tf.nest.map_structure(lambda f: f[None], first)
    rest = tf.scan(step, rows, initializer=first, reverse=reverse)
    order = -1 if reverse else 1
    return tf.nest.map_structure(lambda f, r: tf.concat([f[None], r][::order], axis=0), first, rest)
