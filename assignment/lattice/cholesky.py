"""Cholesky factorisation of a lattice precision, one row of pixels at a time.

Neighbours are at most one row apart, so Λ is block tridiagonal with one block for each row, and its factor bidiagonal:
Λ = LLᵀ with blocks L_nn and L_{n+1,n} (Golub & Van Loan, Matrix Computations, section 4.5.1). Of L_nn the inverse is
kept: products with it are several times faster than triangular solves.
An image that is wider than high is turned first: N = max(H, W) blocks of B × B, B = min(H, W). The time is O(N B³),
the memory O(N B²) for the factor (`factor_bytes`) and O(B²) for the determinant alone; a dense factorisation takes
O(N³B³) and O(N²B²). Measured on 2 cores: 0.1 s at 128 × 128, 0.7 s at 256 × 256, the determinant 60 s at 1024².

Λ is given by its fields: diagonal [..., H, W] and couplings [..., K, H, W], zero where the neighbour is off the image.
A matrix that is not positive definite leaves NaN in the factor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf
from tensorflow.experimental.numpy import moveaxis

from assignment.lattice.memory import require
from assignment.lattice.stencil import Offset, offsets_of

LARGE_BLOCK = 96  # From this size on, half a product of two blocks takes less time than the whole.


def graph_by_size(function: Callable) -> Callable:
    """`tf.function` without its warning of many graphs: each size and kind of lattice needs one of its own.

    Without AutoGraph, which took most of the time to trace one.
    """
    graphs = tf.function(function, autograph=False)

    @functools.wraps(function)
    def call(*arguments):
        return graphs.get_concrete_function(*arguments)(*arguments)

    return call


class BlockCholesky(NamedTuple):
    """The factor L: `inverse` [N, ..., B, B], L_nn⁻ᵀ, and `regression` [N, ..., B, B], R_n = L_{n+1,n} L_nn⁻¹, the last
    one zero."""

    inverse: tf.Tensor
    regression: tf.Tensor

    def colour(self, x: tf.Tensor) -> tf.Tensor:
        """L⁻ᵀx for images x [S, ..., H, W]: standard normal x become draws of N(0, Λ⁻¹)."""
        rows = _products(self._by_rows(x), self.inverse, transpose_b=True)
        return self._by_images(_substitute(rows, self.regression, True), x)

    def solve(self, x: tf.Tensor) -> tf.Tensor:
        """Σx = L⁻ᵀL⁻¹x for images x [S, ..., H, W]."""
        above = tf.roll(tf.linalg.matrix_transpose(self.regression), 1, axis=0)
        rows = _products(_substitute(self._by_rows(x), above, False), self.inverse)
        return self.colour(self._by_images(rows, x))

    def _by_rows(self, x):
        """[S, ..., H, W] → [N, ..., S, B]."""
        return moveaxis(x, (-1, -2, 0) if self._turned(x) else (-2, -1, 0), (0, -1, -2))

    def _by_images(self, rows, like):
        """[N, ..., S, B] → [S, ..., H, W]."""
        return moveaxis(rows, (0, -1, -2), (-1, -2, 0) if self._turned(like) else (-2, -1, 0))

    def _turned(self, x):
        return x.shape[-2] < self.inverse.shape[0]


def _products(rows, matrices, **transposed):
    """Row n times matrix n, where the matrices may have fewer batch dimensions."""
    missing = [tf.newaxis] * (rows.shape.rank - matrices.shape.rank)
    return tf.linalg.matmul(rows, matrices[:, *missing], **transposed)


@graph_by_size
def _substitute(rows, matrices, reverse):
    """y_n = x_n − y_m M_n from the first row to the last, or in reverse, where m is the row before n on that way."""
    count = rows.shape[0]

    def step(k, y, found):
        n = count - 1 - k if reverse else k
        y = rows[n] - y @ matrices[n]
        return k + 1, y, found.write(n, y)

    found = tf.TensorArray(rows.dtype, count)
    return tf.while_loop(lambda k, *_: k < count, step, (0, tf.zeros_like(rows[0]), found))[2].stack()


def factor_bytes(height: int, width: int) -> int:
    """The most memory that `block_cholesky`, or a use of its factor, takes: 4 N B² float64 numbers.

    Half of it is the factor, the other half the rows that it is put together from.
    """
    return 4 * 8 * max(height, width) * min(height, width) ** 2


def block_cholesky(diagonal: tf.Tensor, couplings: tf.Tensor) -> BlockCholesky:
    """Factorises Λ.

    Raises:
      ValueError: the factor would not fit in memory.
    """
    height, width = diagonal.shape[-2:]
    batch = diagonal.shape[:-2].num_elements() or 1
    require(
        batch * factor_bytes(height, width),
        f"the Cholesky factor of a lattice of {height} × {width} pixels",
        "use shared weights and 4 neighbours, or smaller images",
        (height, width),
    )
    return _block_cholesky(diagonal, couplings)


@graph_by_size
def _block_cholesky(diagonal, couplings):
    rows, zero = _rows(diagonal, couplings)
    inverse, below = tf.scan(lambda above, row: _eliminate(_square(above[1]), row), rows, (zero, zero))
    return BlockCholesky(inverse, tf.linalg.matmul(below, inverse, transpose_b=True))


@tf.custom_gradient
def log_determinant(diagonal: tf.Tensor, couplings: tf.Tensor) -> tf.Tensor:
    """log det Λ, [...]; NaN where Λ is not positive definite.

    Rows are eliminated from the first and from the last one at the same time, which keeps two cores busy, until the
    middle one is left. Only one row of either factor is in memory at a time. The gradient needs all of them.
    """

    def gradient(upstream):
        variances, covariances = selected_inverse(diagonal, couplings, offsets_of(couplings))
        upstream = upstream[..., None, None]
        return upstream * variances, 2 * upstream[..., None] * covariances

    return _log_determinant(diagonal, couplings), gradient


@graph_by_size
def _log_determinant(diagonal, couplings):
    def step(above, row):
        inverse, below = _eliminate(_lower_square(above[1]), row)
        return above[0] - 2 * _triangular_log_det(inverse), below

    (within, between), zero = _rows(diagonal, couplings)
    count, half = within.shape[0], within.shape[0] // 2
    upper, middle, lower = tf.split(within, [half, 1, count - 1 - half])
    from_upper, from_lower, _ = tf.split(between, [half, count - 1 - half, 1])
    upwards = [tf.reverse(bands, [0]) for bands in (lower, _transposed(from_lower))]
    first, last = (tf.foldl(step, rows, (zero[..., 0, 0], zero)) for rows in ((upper, from_upper), upwards))
    left = _matrix(middle[0])
    for _, below in (first, last):
        left -= _square(below)
    return first[0] + last[0] + 2 * _triangular_log_det(tf.linalg.cholesky(left))


def _triangular_log_det(triangular):
    return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(triangular)), axis=-1)


def selected_inverse(
    diagonal: tf.Tensor, couplings: tf.Tensor, offsets: tuple[Offset, ...]
) -> tuple[tf.Tensor, tf.Tensor]:
    """The entries of Σ = Λ⁻¹ for each pixel and for each edge along `offsets`.

    Returns:
      (variances [..., H, W], covariances [..., K, H, W]), each in the place of the weight that it belongs to; zero
      where the neighbour is off the image. They are ∂ log det Λ, halved for the couplings.
    """
    near = near_inverse(diagonal, couplings, 1)
    covariances = [near[..., down, 1 + right, :, :] for down, right in offsets]
    return near[..., 0, 1, :, :], tf.stack(covariances, axis=-3)


@graph_by_size
def near_inverse(diagonal: tf.Tensor, couplings: tf.Tensor, reach: int) -> tf.Tensor:
    """Σ = Λ⁻¹ for pixels at most `reach` rows and columns apart.

    The blocks of Σ follow from the last row upwards (Takahashi, Fagan & Chen 1973). With R_n = L_{n+1,n} L_nn⁻¹ they
    are Σ_{m,n} = −Σ_{m,n+1} R_n for m > n, and Σ_nn = (L_nn L_nnᵀ)⁻¹ − R_nᵀ Σ_{n+1,n}.

    Returns:
      [..., 1 + reach, 1 + 2·reach, H, W]: entry [dr, reach + dc, r, c] is Σ between the pixels (r, c) and
      (r + dr, c + dc), zero where the second one is off the image.
    """
    factor = block_cholesky(diagonal, couplings)
    count, zero = factor.inverse.shape[0], tf.zeros_like(factor.inverse[0])

    def step(n, under, bands):
        inverse, regression = factor.inverse[n], factor.regression[n]
        across = [-block @ regression for block in under]
        sigma = tf.linalg.matmul(inverse, inverse, transpose_b=True)
        sigma -= tf.linalg.matmul(regression, across[0], transpose_a=True)
        return n - 1, [sigma, *across[:-1]], bands.write(n, _bands([sigma, *across], reach))

    bands = tf.TensorArray(diagonal.dtype, count, element_shape=_bands([zero] * (1 + reach), reach).shape)
    *_, bands = tf.while_loop(lambda n, *_: n >= 0, step, (count - 1, [zero] * reach, bands))
    near = moveaxis(bands.stack(), 0, -2)
    if not _is_wide(diagonal):
        return near
    places = [(down, right) for down in range(1 + reach) for right in range(-reach, 1 + reach)]
    turned = _turn({(down, right): near[..., down, reach + right, :, :] for down, right in places})
    shape = tf.concat([tf.shape(near)[:-2], tf.shape(diagonal)[-2:]], axis=0)
    return tf.reshape(tf.stack(list(turned.values()), axis=-3), shape)


def _eliminate(square, row):
    """(L_nn⁻ᵀ, L_{n+1,n}) from L_{n,n−1} L_{n,n−1}ᵀ, of which the lower triangle is read, and the bands of row n."""
    within, between = row
    lower = tf.linalg.cholesky(_matrix(within) - square)
    eye = tf.eye(lower.shape[-1], dtype=lower.dtype)
    inverse = tf.linalg.triangular_solve(lower, tf.broadcast_to(eye, tf.shape(lower)), adjoint=True)
    return inverse, tf.linalg.tridiagonal_matmul(between, inverse)


def _square(below):
    return tf.linalg.matmul(below, below, transpose_b=True)


def _lower_square(below):
    """The lower triangle of `_square`, by half the products for large blocks; not to be differentiated.

    L_{n+1,n} = Λ_{n+1,n} L_nn⁻ᵀ is zero left of the entry before the diagonal: a tridiagonal times an upper triangle.
    """
    size, half = below.shape[-1], below.shape[-1] // 2
    if size < LARGE_BLOCK:
        return _square(below)
    right = below[..., half - 1 :]
    lower = tf.linalg.matmul(right[..., half:, :], right, transpose_b=True)
    upper = tf.pad(_square(below[..., :half, :]), [(0, 0)] * (below.shape.rank - 1) + [(0, size - half)])
    return tf.concat([upper, lower], axis=-2)


# A tridiagonal block [..., B, B] is held by its bands [..., 3, B]: the entries right above, on and right below the
# diagonal, each at the place of its row.


def _rows(diagonal, couplings):
    """(the bands of Λ_nn and of Λ_{n+1,n}, both [N, ..., 3, B]; a block of zeros)."""
    directions = zip(offsets_of(couplings), tf.unstack(couplings, axis=-3), strict=True)
    fields = {(0, 0): diagonal, **dict(directions)}
    if _is_wide(diagonal):
        fields = _turn(fields)
    diagonal, right, zero = fields[0, 0], fields[0, 1], tf.zeros_like(fields[0, 0])
    straight, to_left, to_right = (fields.get((1, side), zero) for side in (0, -1, 1))
    above = tf.concat([to_left[..., 1:], zero[..., :1]], axis=-1)
    left, below = (tf.concat([zero[..., :1], field[..., :-1]], axis=-1) for field in (right, to_right))
    bands = [right, diagonal, left], [above, straight, below]
    within, between = (moveaxis(tf.stack(three, axis=-2), -3, 0) for three in bands)
    return (within, between), tf.zeros_like(_matrix(within[0]))


def _transposed(bands):
    """The bands of the transposed blocks."""
    above, within, below = tf.unstack(bands, axis=-2)
    zero = tf.zeros_like(above[..., :1])
    above, below = tf.concat([below[..., 1:], zero], axis=-1), tf.concat([zero, above[..., :-1]], axis=-1)
    return tf.stack([above, within, below], axis=-2)


def _matrix(bands):
    return tf.linalg.diag(bands, k=(-1, 1), align="LEFT_RIGHT") if bands.shape[-1] > 1 else bands[..., 1:2, :]


def _bands(blocks, reach):
    """The diagonals −reach … reach of blocks [..., B, B], each entry at its column: [..., blocks, 1 + 2·reach, B]."""
    blocks = tf.stack(blocks, axis=-3)
    size = blocks.shape[-1]
    margins = [(0, 0)] * (blocks.shape.rank - 2) + [(0, max(reach + 1 - size, 0))] * 2
    return tf.linalg.diag_part(tf.pad(blocks, margins), k=(-reach, reach))[..., :size]


def _is_wide(diagonal):
    return diagonal.shape[-2] < diagonal.shape[-1]


def _turn(fields):
    """Exchanges height and width in fields [..., H, W], which hold for each offset a number of every pair of pixels.

    The number of a pair stands at its upper pixel. Of the pairs that point to the left, that is the other pixel after
    the turn.
    """
    turned = {}
    for down, right in fields:
        field = tf.linalg.matrix_transpose(fields[(right, down) if right >= 0 else (-right, -down)])
        if right < 0:
            margins = [(0, 0)] * (field.shape.rank - 2) + [(0, down), (-right, 0)]
            field = tf.pad(field, margins)[..., down:, : field.shape[-1]]
        turned[down, right] = field
    return turned
