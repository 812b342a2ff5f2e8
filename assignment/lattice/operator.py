"""Λ as a `tf.linalg.LinearOperator`: products without the matrix, and the cheapest exact factorisation it allows."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops.linalg.linear_operator import make_composite_tensor
from tensorflow.python.ops.linalg.linear_operator_util import convert_nonref_to_tensor

from assignment.lattice.cholesky import BlockCholesky, block_cholesky, log_determinant, near_inverse, selected_inverse
from assignment.lattice.lanczos import least_eigenvalue
from assignment.lattice.memory import require
from assignment.lattice.root import inverse_root
from assignment.lattice.sine import SineRoot, eigenvalues, sine_matrix, sine_transform
from assignment.lattice.stencil import OFFSETS, Offset, edge_ends, edge_shape, padding

# DENSE_PIXELS: up to here an eigendecomposition of Λ as a dense matrix takes less than a second.
DENSE_PIXELS = 1024
HINTS = ("is_non_singular", "is_self_adjoint", "is_positive_definite", "is_square")
_OFFSETS_BY_COUNT = {len(offsets): offsets for offsets in OFFSETS.values()}


def stencil_product(diagonal: tf.Tensor, couplings: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Λx for images x [..., H, W], linear in the number of pixels.

    `diagonal` [..., H, W] and `couplings` [..., K, H, W] broadcast against x; a homogeneous stencil has H = W = 1.
    """
    homogeneous = couplings.shape[-2:] == [1, 1]
    y = diagonal * x
    for k, offset in enumerate(_OFFSETS_BY_COUNT[couplings.shape[-3]]):
        first, second = edge_ends(offset)
        coupling = couplings[..., k, :, :]
        if not homogeneous:
            coupling = coupling[first]
        rows, columns = padding(offset)
        y += _pad(coupling * x[second], rows, columns) + _pad(coupling * x[first], rows[::-1], columns[::-1])
    return y


def _pad(x, rows, columns):
    return tf.pad(x, [(0, 0)] * (x.shape.rank - 2) + [rows, columns])


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
    it diagonalises the stencil (homogeneous, with equal diagonal directions), else by block Cholesky. They are NaN
    where Λ is not positive definite; `positive_definite()` tells.
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
        for name, field, before in (("diagonal", self.diagonal, []), ("couplings", self.couplings, ["K"])):
            size = field.shape[-2:] if field.shape.rank is not None and field.shape.rank >= 2 + len(before) else None
            if size not in ([1, 1], [self.height, self.width]):
                shape = ", ".join(map(str, ["...", *before, self.height, self.width]))
                raise ValueError(f"{name} must have shape [{shape}], or 1 in place of both sizes, not {field.shape}")
        if self.couplings.shape[-3] not in _OFFSETS_BY_COUNT:
            raise ValueError(f"couplings must have K = 2 or 4 directions, not {self.couplings.shape[-3]}")

    @property
    def offsets(self) -> tuple[Offset, ...]:
        """The K coupling directions."""
        return _OFFSETS_BY_COUNT[self.couplings.shape[-3]]

    @property
    def homogeneous(self) -> bool:
        """Whether all pixels share the same weights."""
        return self.diagonal.shape[-2:] == [1, 1] and self.couplings.shape[-2:] == [1, 1]

    @property
    def sine_diagonal(self) -> bool:
        """Whether the sine transform is known to diagonalise Λ (in a graph, values of couplings are not known)."""
        if not self.homogeneous or len(self.offsets) == 2:
            return self.homogeneous
        values = tf.get_static_value(self.couplings)
        return values is not None and bool((values[..., 2, :, :] == values[..., 3, :, :]).all())

    # What every LinearOperator has to define.

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
        return self._to_columns(stencil_product(self.diagonal, self.couplings, images))

    def _solve(self, rhs, adjoint=False, adjoint_arg=False):
        del adjoint
        vectors = rhs.shape[-2 if adjoint_arg else -1] or 1
        what = f"solving for {vectors} images of {self.height} × {self.width} pixels"
        # Measured: no more than nine float64 copies at a time.
        require(9 * 8 * self.height * self.width * vectors, what, "use fewer or smaller ones")
        images = self._to_images(tf.cast(tf.linalg.adjoint(rhs) if adjoint_arg else rhs, tf.float64))
        if self.sine_diagonal:
            y = sine_transform(sine_transform(images) / self._sine_eigenvalues())
        else:
            factor = self.block_cholesky()
            y = factor.colour(factor.solve_lower(images))
        return tf.cast(self._to_columns(y), self.dtype)

    def _log_abs_determinant(self):
        return tf.cast(self.log_determinant(), self.dtype)

    def _determinant(self):
        return tf.exp(self._log_abs_determinant())

    def _assert_positive_definite(self):
        return tf.debugging.assert_equal(self.positive_definite(), True, "Λ must be positive definite")

    def _diag_part(self):
        shape = tf.concat([self.batch_shape_tensor(), [self.height, self.width]], axis=0)
        return self._to_vectors(tf.broadcast_to(self.diagonal, shape))

    def _to_dense(self):
        size = self.height * self.width
        need = 2 * self.dtype.size * (self.batch_shape.num_elements() or 1) * size**2
        what = f"Λ of {self.height} × {self.width} pixels as a dense matrix"
        require(need, what, size=(self.height, self.width), power=4)
        diagonal, couplings = self.full_fields()
        pixels = np.arange(size).reshape(self.height, self.width)
        places, values = [pixels.ravel() * (size + 1)], [self._to_vectors(diagonal)]
        for k, (first, second) in enumerate(map(edge_ends, self.offsets)):
            upper, lower = pixels[first].ravel(), pixels[second].ravel()
            edges = tf.gather(self._to_vectors(couplings[..., k, :, :]), upper, axis=-1)
            places += [upper * size + lower, lower * size + upper]
            values += [edges, edges]
        values = tf.concat(values, axis=-1)
        rank = values.shape.rank
        values = tf.transpose(values, [rank - 1, *range(rank - 1)])
        shape = tf.concat([[size**2], tf.shape(values, tf.int64)[1:]], axis=0)
        dense = tf.scatter_nd(np.concatenate(places)[:, None], values, shape)
        return tf.reshape(tf.transpose(dense, [*range(1, rank), 0]), self.shape_tensor())

    # What a Gaussian needs of its precision.

    def full_fields(self) -> tuple[tf.Tensor, tf.Tensor]:
        """(diagonal [..., H, W], couplings [..., K, H, W]), zero where the neighbour is off the image."""
        size = [self.height, self.width]
        diagonal = tf.broadcast_to(self.diagonal, tf.concat([self.batch_shape_tensor(), size], axis=0))
        shape = tf.concat([self.batch_shape_tensor(), [len(self.offsets)], size], axis=0)
        couplings = tf.broadcast_to(self.couplings, shape)
        if self.homogeneous:
            edges = [(tf.ones(edge_shape(o, *size), self.dtype), padding(o)) for o in self.offsets]
            couplings *= tf.stack([_pad(ones, *margins) for ones, margins in edges])
        return diagonal, couplings

    def quadratic_form(self, x: tf.Tensor) -> tf.Tensor:
        """xᵀΛx for images x [..., H, W], as [...]."""
        return tf.reduce_sum(x * stencil_product(self.diagonal, self.couplings, x), axis=[-2, -1])

    def log_determinant(self) -> tf.Tensor:
        """log det Λ in float64, [...]; NaN where Λ is not positive definite."""
        if self.sine_diagonal:
            return tf.reduce_sum(tf.math.log(self._sine_eigenvalues()), axis=[-2, -1])
        return log_determinant(*self._double_fields(), self.offsets)

    def positive_definite(self) -> tf.Tensor:
        """Whether Λ is positive definite, bool [...]: by its eigenvalues or by a factorisation that must exist."""
        if self.sine_diagonal:
            spectrum = self._sine_eigenvalues()
            return tf.reduce_all((spectrum > 0) & tf.math.is_finite(spectrum), axis=[-2, -1])
        return tf.math.is_finite(self.log_determinant())

    def block_cholesky(self) -> BlockCholesky:
        """Λ = LLᵀ in float64, by rows of pixels."""
        return block_cholesky(*self._double_fields(), self.offsets)

    def variances(self) -> tf.Tensor:
        """Σ_ii of the pixels, float64 [..., H, W]."""
        if self.sine_diagonal:
            rows, columns = (tf.constant(sine_matrix(n) ** 2) for n in (self.height, self.width))
            return rows @ tf.square(tf.math.rsqrt(self._sine_eigenvalues())) @ columns
        return self.selected_inverse()[0]

    def selected_inverse(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Σ where Λ has entries, in float64: variances [..., H, W] and covariances [..., K, H, W] of the edges."""
        return selected_inverse(*self._double_fields(), self.offsets)

    def near_covariances(self) -> tf.Tensor:
        """Σ for pixels at most three rows and three columns apart, float64 [..., 4, 7, H, W].

        Entry [dr, 3 + dc, r, c] is Σ between the pixels (r, c) and (r + dr, c + dc), zero where the second one is off
        the image.
        """
        return near_inverse(*self._double_fields(), self.offsets, reach=3)

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
            return sine_transform(tf.math.rsqrt(self._sine_eigenvalues()) * sine_transform(x))
        root = inverse_root(tf.cast(self.to_dense(), tf.float64))
        return tf.reshape(tf.einsum("...ij,s...j->s...i", root, self._to_vectors(x)), tf.shape(x))

    def sampler(self) -> SineRoot | BlockCholesky:
        """A factor A with AAᵀ = Λ⁻¹: `sampler().colour(x)` = Ax for images x [S, ..., H, W], float64.

        Its kind depends on the stencil's shape alone, never on the values of Λ.
        """
        if self.homogeneous and len(self.offsets) == 2:
            return SineRoot(tf.math.rsqrt(self._sine_eigenvalues()))
        return self.block_cholesky()

    def inverse_matrix(self) -> tf.Tensor:
        """Σ = Λ⁻¹ as a dense matrix, [..., D, D]."""
        return self.solve(tf.eye(self.height * self.width, dtype=self.dtype))

    def min_eigenvalue(self) -> tf.Tensor:
        """The least eigenvalue of Λ in float64, [...]: dense on small lattices, to 1e-6 of itself on large ones."""
        if self.sine_diagonal:
            return tf.reduce_min(self._sine_eigenvalues(), axis=[-2, -1])
        if self.height * self.width > DENSE_PIXELS:
            return least_eigenvalue(*self._double_fields(), self.offsets)
        return tf.linalg.eigvalsh(tf.cast(self.to_dense(), tf.float64))[..., 0]

    def _double_fields(self):
        return [tf.cast(field, tf.float64) for field in self.full_fields()]

    def _sine_eigenvalues(self):
        return eigenvalues(self.diagonal, self.couplings, self.offsets, self.height, self.width)

    def _to_vectors(self, images):
        return tf.reshape(images, tf.concat([tf.shape(images)[:-2], [self.height * self.width]], axis=0))

    def _to_images(self, columns):
        """[..., D, R], broadcast to the batch, as R images [R, ..., H, W]."""
        size = tf.shape(columns)[-2:]
        batch = tf.broadcast_dynamic_shape(self.batch_shape_tensor(), tf.shape(columns)[:-2])
        columns = tf.broadcast_to(columns, tf.concat([batch, size], axis=0))
        rank = columns.shape.rank
        shape = tf.concat([size[1:], batch, [self.height, self.width]], axis=0)
        return tf.reshape(tf.transpose(columns, [rank - 1, *range(rank - 1)]), shape)

    def _to_columns(self, images):
        rank = images.shape.rank
        return tf.transpose(self._to_vectors(images), [*range(1, rank - 1), 0])


def batch_slices(slices: Any, event_ndims: int) -> tuple:
    """The index of a part of the batch, for a tensor that has `event_ndims` dimensions after those of the batch."""
    slices = tuple(slices) if isinstance(slices, (tuple, list)) else (slices,)
    rest = () if any(s is Ellipsis for s in slices) else (Ellipsis,)
    return (*slices, *rest, *[slice(None)] * event_ndims)
