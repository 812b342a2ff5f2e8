"""Λ as a `tf.linalg.LinearOperator`: products without the matrix, and the cheapest exact factorisation it allows."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.experimental.numpy import moveaxis
from tensorflow.python.ops.linalg.linear_operator import make_composite_tensor
from tensorflow.python.ops.linalg.linear_operator_util import convert_nonref_to_tensor

from assignment.lattice.cholesky import BlockCholesky, block_cholesky, log_determinant, near_inverse, selected_inverse
from assignment.lattice.memory import require
from assignment.lattice.sine import SineRoot, eigenvalues, sine_matrix, sine_transform
from assignment.lattice.spectrum import inverse_root, least_eigenvalue
from assignment.lattice.stencil import Offset, edges_inside, offsets_of, weight_pixels, weight_places

# DENSE_PIXELS: up to here an eigendecomposition of Λ as a dense matrix takes less than a second.
DENSE_PIXELS = 1024
HINTS = ("is_non_singular", "is_self_adjoint", "is_positive_definite", "is_square")


def neighbours(x: tf.Tensor, offset: Offset) -> tf.Tensor:
    """The pixel at an offset (down, right) from every pixel of images [..., H, W]; zero off the image."""
    down, right = offset
    padded = tf.pad(x, [(0, 0)] * (len(x.shape) - 2) + [(1, 1), (1, 1)])
    return padded[..., slice(1 + down, down - 1 or None), slice(1 + right, right - 1 or None)]


def products(x: tf.Tensor, offsets: tuple[Offset, ...]) -> list[tf.Tensor]:
    """x_i² of the pixels and x_i x_j of the edges of images x, as 1 + K fields [..., H, W]."""
    return [x * x] + [x * neighbours(x, offset) for offset in offsets]


def _weighted_sum(product, weight):
    if weight.shape == [1, 1]:
        return weight[0, 0] * tf.reduce_sum(product, axis=[-2, -1])
    return tf.tensordot(product, weight, axes=2)


def by_weight(fields: tf.Tensor) -> tf.Tensor:
    """The numbers of 1 + K fields [..., 1 + K, H, W] that weights of per-edge stencils have: [..., D + E]."""
    flat = tf.reshape(fields, tf.concat([tf.shape(fields)[:-3], [-1]], axis=0))
    return tf.gather(flat, weight_places(2 * (fields.shape[-3] - 1), *fields.shape[-2:]), axis=-1)


@functools.partial(make_composite_tensor, module_name="assignment")
class LinearOperatorLattice(tf.linalg.LinearOperator):
    """The symmetric precision Λ, [..., D, D], of a lattice of H × W pixels numbered row by row.

    Args:
      diagonal: Λ_ii as [..., H, W], or [..., 1, 1] for a homogeneous stencil.
      couplings: Λ_ij of each edge, as [..., K, H, W] with the edge held at its upper end and zero where the neighbour
        is off the image, or [..., K, 1, 1]. K = 2 is 4-connected, K = 4 is 8-connected.
      height, width: H and W.
      hints: `HINTS`, see `tf.linalg.LinearOperator`; True unless said otherwise.

    Determinants, solves and factors are exact and computed in float64 whatever the dtype: by the sine transform where
    it diagonalises the stencil (homogeneous, with 4 neighbours), else by block Cholesky. They are NaN where Λ is not
    positive definite; `positive_definite()` tells.
    """

    def __init__(
        self,
        diagonal: tf.Tensor,
        couplings: tf.Tensor,
        height: int,
        width: int,
        name: str = "LinearOperatorLattice",
        **hints: bool,
    ):
        hints = dict.fromkeys(HINTS, True) | hints
        parameters = dict(diagonal=diagonal, couplings=couplings, height=height, width=width, name=name, **hints)
        if not hints["is_self_adjoint"] or not hints["is_square"]:
            raise ValueError("is_self_adjoint and is_square must be True: the precision of a lattice is symmetric")
        with tf.name_scope(name):
            self.diagonal = convert_nonref_to_tensor(diagonal, name="diagonal")
            self.couplings = convert_nonref_to_tensor(couplings, dtype=self.diagonal.dtype, name="couplings")
        self.height, self.width = height, width
        self._check_shapes()
        super().__init__(dtype=self.diagonal.dtype, parameters=parameters, name=name, **hints)

    def _check_shapes(self):
        # A graph must know them: homogeneous weights read as per-edge ones would give another matrix, silently.
        sizes = [1, 1], [self.height, self.width]
        for name, field, before, least in (
            ("diagonal", self.diagonal, "...", 2),
            ("couplings", self.couplings, "..., K", 3),
        ):
            if field.shape.rank is None or field.shape.rank < least or field.shape[-2:] not in sizes:
                shape = f"[{before}, {self.height}, {self.width}]"
                raise ValueError(f"{name} must have shape {shape}, or 1 in place of both sizes, not {field.shape}")
        if self.couplings.shape[-3] not in (2, 4):
            raise ValueError(f"couplings must have K = 2 or 4 directions, not {self.couplings.shape[-3]}")

    @property
    def offsets(self) -> tuple[Offset, ...]:
        """The K coupling directions."""
        return offsets_of(self.couplings)

    @property
    def sine_diagonal(self) -> bool:
        """Whether the sine transform diagonalises Λ."""
        return [*self.diagonal.shape[-2:], *self.couplings.shape[-3:]] == [1, 1, 2, 1, 1]

    def full_fields(self) -> tuple[tf.Tensor, tf.Tensor]:
        """(diagonal [..., H, W], couplings [..., K, H, W]), zero where the neighbour is off the image."""
        batch = self.batch_shape_tensor()
        inside = tf.cast(edges_inside(2 * len(self.offsets), self.height, self.width), self.dtype)
        diagonal = tf.broadcast_to(self.diagonal, tf.concat([batch, inside.shape[1:]], axis=0))
        return diagonal, tf.broadcast_to(self.couplings * inside, tf.concat([batch, inside.shape], axis=0))

    def product(self, x: tf.Tensor) -> tf.Tensor:
        """Λx for images x [..., H, W], linear in the number of pixels."""
        y = self.diagonal * x
        for (down, right), coupling in zip(self.offsets, tf.unstack(self.couplings, axis=-3), strict=True):
            y += coupling * neighbours(x, (down, right)) + neighbours(coupling * x, (-down, -right))
        return y

    def quadratic_form(self, x: tf.Tensor) -> tf.Tensor:
        """xᵀΛx for images x [..., H, W], as [...]."""
        if self.diagonal.shape.rank > 2 or self.couplings.shape.rank > 3:
            return tf.reduce_sum(x * self.product(x), axis=[-2, -1])
        # One Λ for all images: its gradient is a product of matrices.
        weights = [self.diagonal, *tf.unstack(2 * self.couplings)]
        parts = zip(products(x, self.offsets), weights, strict=True)
        return tf.add_n([_weighted_sum(product, weight) for product, weight in parts])

    def log_determinant(self) -> tf.Tensor:
        """log det Λ in float64, [...]; NaN where Λ is not positive definite."""
        if self.sine_diagonal:
            return tf.reduce_sum(tf.math.log(self._sine_eigenvalues()), axis=[-2, -1])
        return log_determinant(*self._double_fields())

    def positive_definite(self) -> tf.Tensor:
        """Whether Λ is positive definite, bool [...]: by its eigenvalues or by a factorisation that must exist."""
        if self.sine_diagonal:
            spectrum = self._sine_eigenvalues()
            return tf.reduce_all((spectrum > 0) & tf.math.is_finite(spectrum), axis=[-2, -1])
        return tf.math.is_finite(self.log_determinant())

    def sampler(self) -> SineRoot | BlockCholesky:
        """A factor A with AAᵀ = Λ⁻¹: `sampler().colour(x)` = Ax for images x [S, ..., H, W], float64.

        Its kind depends on the stencil's shape alone, never on the values of Λ.
        """
        if self.sine_diagonal:
            return SineRoot(tf.math.rsqrt(self._sine_eigenvalues()))
        return block_cholesky(*self._double_fields())

    @property
    def has_inverse_root(self) -> bool:
        """Whether Λ^(−½) can be had soon: by the sine transform, or because the lattice is small."""
        return self.sine_diagonal or self.height * self.width <= DENSE_PIXELS

    def inverse_root_images(self, x: tf.Tensor) -> tf.Tensor:
        """Λ^(−½)x, float64, for images x [S, ..., H, W] and the symmetric root: the exercise's A = Λ^(−½).

        Dense, and slow on large lattices without `has_inverse_root`; `sampler()` has another root for them.
        """
        x = tf.cast(x, tf.float64)
        if self.sine_diagonal:
            return self.sampler().colour(sine_transform(x))
        root = inverse_root(tf.cast(self.to_dense(), tf.float64))
        return tf.reshape(tf.einsum("...ij,s...j->s...i", root, self._to_vectors(x)), tf.shape(x))

    def variances(self) -> tf.Tensor:
        """Σ_ii of the pixels, float64 [..., H, W]."""
        if self.sine_diagonal:
            rows, columns = (tf.constant(sine_matrix(n) ** 2) for n in (self.height, self.width))
            return rows @ (1 / self._sine_eigenvalues()) @ columns
        return self.selected_inverse()[0]

    def selected_inverse(self, offsets: tuple[Offset, ...] | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Σ where Λ has entries, in float64: variances [..., H, W] and covariances [..., K, H, W] of the edges.

        Other `offsets` than those of Λ give the covariances of pixels along them instead.
        """
        return selected_inverse(*self._double_fields(), offsets or self.offsets)

    def near_covariances(self) -> tf.Tensor:
        """Σ for pixels at most three rows and columns apart, float64 [..., 4, 7, H, W], as `near_inverse` has it."""
        return near_inverse(*self._double_fields(), 3)

    def min_eigenvalue(self) -> tf.Tensor:
        """The least eigenvalue of Λ in float64, [...]: dense on small lattices, to 1e-6 of itself on large ones."""
        if self.sine_diagonal:
            return tf.reduce_min(self._sine_eigenvalues(), axis=[-2, -1])
        if self.height * self.width > DENSE_PIXELS:
            return tf.constant(least_eigenvalue(*self._double_fields()))
        return tf.linalg.eigvalsh(tf.cast(self.to_dense(), tf.float64))[..., 0]

    def _double_fields(self):
        return [tf.cast(field, tf.float64) for field in self.full_fields()]

    def _sine_eigenvalues(self):
        return eigenvalues(self.diagonal, self.couplings, self.height, self.width)

    # What TensorFlow asks of every LinearOperator.

    @property
    def _composite_tensor_fields(self):
        return ("diagonal", "couplings", "height", "width")

    @property
    def _experimental_parameter_ndims_to_matrix_ndims(self):
        return {"diagonal": 2, "couplings": 3}

    def __getitem__(self, slices) -> LinearOperatorLattice:
        """The lattices of a part of the batch."""
        return self.part(slices, self.batch_shape_tensor())

    def part(self, slices: Any, batch_shape: tf.Tensor) -> LinearOperatorLattice:
        """The lattices of a part of the batch, once it is broadcast to `batch_shape`.

        TensorFlow's own slicing forgets the static size of the fields where the batch shape is not static.
        """
        fields = {}
        for name, ndims in self._experimental_parameter_ndims_to_matrix_ndims.items():
            field = getattr(self, name)
            whole = tf.broadcast_to(field, tf.concat([batch_shape, field.shape[-ndims:]], axis=0))
            fields[name] = whole[batch_slices(slices, ndims)]
        return type(self)(**{**self.parameters, **fields})

    def _shape(self):
        batch = tf.broadcast_static_shape(self.diagonal.shape[:-2], self.couplings.shape[:-3])
        return batch.concatenate([self.height * self.width] * 2)

    def _shape_tensor(self):
        batch = tf.broadcast_dynamic_shape(tf.shape(self.diagonal)[:-2], tf.shape(self.couplings)[:-3])
        return tf.concat([batch, [self.height * self.width] * 2], axis=0)

    def _matmul(self, x, adjoint=False, adjoint_arg=False):
        del adjoint  # Λ is symmetric.
        images = self._to_images(tf.linalg.adjoint(x) if adjoint_arg else x)
        return self._to_columns(self.product(images))

    def _solve(self, rhs, adjoint=False, adjoint_arg=False):
        del adjoint
        vectors = rhs.shape[-2 if adjoint_arg else -1] or 1
        what = f"solving for {vectors} images of {self.height} × {self.width} pixels"
        # Measured: no more than nine float64 copies at a time.
        require(9 * 8 * self.height * self.width * vectors, what, "use fewer or smaller ones")
        images = self._to_images(tf.cast(tf.linalg.adjoint(rhs) if adjoint_arg else rhs, tf.float64))
        return tf.cast(self._to_columns(self.sampler().solve(images)), self.dtype)

    def _log_abs_determinant(self):
        return tf.cast(self.log_determinant(), self.dtype)

    def _determinant(self):
        return tf.exp(self._log_abs_determinant())

    def _assert_positive_definite(self):
        return tf.debugging.assert_equal(self.positive_definite(), True, "Λ must be positive definite")

    def _diag_part(self):
        return self._to_vectors(self.full_fields()[0])

    def _to_dense(self):
        size = self.height * self.width
        need = 2 * self.dtype.size * (self.batch_shape.num_elements() or 1) * size**2
        what = f"Λ of {self.height} × {self.width} pixels as a dense matrix"
        require(need, what, size=(self.height, self.width), power=4)
        upper, lower = weight_pixels(2 * len(self.offsets), self.height, self.width)
        diagonal, couplings = self.full_fields()
        weights = by_weight(tf.concat([diagonal[..., None, :, :], couplings], axis=-3))
        values = tf.transpose(tf.concat([weights, weights[..., size:]], axis=-1))  # Each edge twice
        places = np.concatenate([upper * size + lower, (lower * size + upper)[size:]])
        shape = tf.concat([[size**2], tf.shape(values, tf.int64)[1:]], axis=0)
        return tf.reshape(tf.transpose(tf.scatter_nd(places[:, None], values, shape)), self.shape_tensor())

    def _to_vectors(self, images):
        return tf.reshape(images, tf.concat([tf.shape(images)[:-2], [self.height * self.width]], axis=0))

    def _to_images(self, columns):
        """[..., D, R], broadcast to the batch, as R images [R, ..., H, W]."""
        batch = tf.broadcast_dynamic_shape(self.batch_shape_tensor(), tf.shape(columns)[:-2])
        columns = tf.broadcast_to(columns, tf.concat([batch, tf.shape(columns)[-2:]], axis=0))
        vectors = moveaxis(columns, -1, 0)
        return tf.reshape(vectors, tf.concat([tf.shape(vectors)[:-1], [self.height, self.width]], axis=0))

    def _to_columns(self, images):
        return moveaxis(self._to_vectors(images), 0, -1)


def batch_slices(slices: Any, event_ndims: int) -> tuple:
    """The index of a part of the batch, for a tensor that has `event_ndims` dimensions after those of the batch."""
    slices = tuple(slices) if isinstance(slices, (tuple, list)) else (slices,)
    rest = () if any(s is Ellipsis for s in slices) else (Ellipsis,)
    return (*slices, *rest, *[slice(None)] * event_ndims)
