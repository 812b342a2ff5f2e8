"""StencilPrecision: the Keras layer that holds the stencil's weights θ and knows the precision Λ(θ)."""

from __future__ import annotations

import numbers
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from assignment.checks import array, floating, image_shape, one_of, varying
from assignment.lattice.operator import LinearOperatorLattice, stencil_product
from assignment.lattice.stencil import edge_ends, edge_shape, offsets, padding, weight_sizes

# CHUNK_PIXELS: so many pixels of images are turned to float64 at a time.
WEIGHTS = ("shared", "per_edge")
CHUNK_PIXELS = 2**22


@keras.saving.register_keras_serializable(package="assignment")
class StencilPrecision(keras.layers.Layer):
    """The map x ↦ Λx, with Λ the precision of a lattice of pixels (the exercise's "2D Laplacian structure").

    All weights are one trainable vector θ in which Λ is linear, `theta`: the diagonal, then the couplings direction by
    direction (right, down, and for 8 neighbours down-right, down-left). A new layer is the identity.

    Weights and products are float32, or float64 where `dtype` says so. A policy of half precision does not reach them.

    Args:
      connectivity: 4 or 8 neighbours.
      weights: "shared", one diagonal weight and one for each direction (1 + K numbers), or "per_edge", one for each
        pixel and one for each edge.
    """

    def __init__(self, connectivity: int = 4, weights: str = "shared", dtype: Any = None, **kwargs: Any):
        super().__init__(dtype=_own_dtype(dtype), **kwargs)
        self.offsets = offsets(connectivity)
        self.connectivity = connectivity
        self.weighting = one_of("weights", weights, WEIGHTS)
        self.shared = weights == "shared"

    def build(self, input_shape: tuple) -> None:
        """Creates θ for images [..., H, W]."""
        shape = tuple(input_shape)
        if len(shape) < 2 or not all(isinstance(n, numbers.Integral) and n > 0 for n in shape[-2:]):
            raise ValueError(f"input_shape must be [..., H, W] with known height and width, not {shape}")
        self.height, self.width = map(int, shape[-2:])
        self.edge_counts = weight_sizes(self.connectivity, self.height, self.width)
        self.group_sizes = [1] * len(self.edge_counts) if self.shared else self.edge_counts
        identity = np.repeat([1.0] + [0.0] * len(self.offsets), self.group_sizes)
        self.theta = self.add_weight(
            name="theta",
            shape=identity.shape,
            initializer=lambda shape, dtype=None: tf.constant(identity, dtype),
            autocast=False,  # also inside a model of half precision
        )
        self.built = True

    @property
    def pixels(self) -> int:
        """D = H·W."""
        return self.height * self.width

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Λx for x [..., H, W]."""
        self._check(x)
        return stencil_product(*self._fields(), x)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def quadratic_moments(self, x: tf.Tensor) -> tf.Tensor:
        """The monomials xᵀ(∂Λ/∂θ_k)x of images x [..., H, W], as [..., P] in the order of θ.

        The exercise's s_k(x) is −½ of them. The density depends on x through them alone.
        """
        products = self._products(x)
        if self.shared:
            moments = [tf.reduce_sum(product, axis=[-2, -1]) for product in products]
            return tf.stack(moments[:1] + [2 * moment for moment in moments[1:]], axis=-1)
        batch = tf.shape(x)[:-2]
        sizes = zip(products, self.group_sizes, strict=True)
        flat = [tf.reshape(product, tf.concat([batch, [size]], axis=0)) for product, size in sizes]
        return tf.concat(flat[:1] + [2 * product for product in flat[1:]], axis=-1)

    def quadratic_form(self, x: tf.Tensor, theta: tf.Tensor | None = None) -> tf.Tensor:
        """xᵀΛ(θ)x for x [..., H, W], as [...]; θ [P] is the layer's own where None."""
        theta = self.theta.value if theta is None else theta
        if self.shared:
            return tf.tensordot(self.quadratic_moments(x), theta, axes=1)
        # The moments [..., P] in one tensor would take longer to write and read than the rest takes.
        parts = zip(self._products(x), tf.split(theta, self.group_sizes), strict=True)
        forms = [tf.tensordot(product, tf.reshape(part, product.shape[-2:]), axes=2) for product, part in parts]
        return forms[0] + 2 * tf.add_n(forms[1:])

    def _products(self, x):
        """x_i² [..., H, W], and x_i x_j of each kind of edge."""
        self._check(x)
        ends = [edge_ends(offset) for offset in self.offsets]
        return [x * x] + [x[first] * x[second] for first, second in ends]

    @property
    def diagonal(self) -> tf.Tensor:
        """Λ_ii: a scalar for shared weights, [H, W] for per-edge ones."""
        return tf.squeeze(self._fields()[0]) if self.shared else self._fields()[0]

    @property
    def couplings(self) -> tf.Tensor:
        """Λ_ij of the edges: [K] for shared weights; [K, H, W], zero where the neighbour is off the image, else."""
        return tf.reshape(self._fields()[1], [-1]) if self.shared else self._fields()[1]

    def _check(self, x):
        self._check_built()
        image_shape("x", x, self.height, self.width)
        floating("x", x)

    def _check_built(self):
        if not self.built:
            raise ValueError("the layer must be built first: call it on images, or layer.build((None, H, W))")

    def _fields(self, theta=None):
        self._check_built()
        groups = tf.split(self.theta.value if theta is None else theta, self.group_sizes)
        if self.shared:
            return tf.reshape(groups[0], [1, 1]), tf.stack([tf.reshape(g, [1, 1]) for g in groups[1:]])
        couplings = [
            tf.pad(tf.reshape(group, edge_shape(offset, self.height, self.width)), padding(offset))
            for group, offset in zip(groups[1:], self.offsets, strict=True)
        ]
        return tf.reshape(groups[0], [self.height, self.width]), tf.stack(couplings)

    def operator(self, theta: tf.Tensor | np.ndarray | None = None) -> LinearOperatorLattice:
        """Λ(θ) as a `tf.linalg.LinearOperator`, in the dtype of θ [P]; of the layer's own θ where None."""
        return LinearOperatorLattice(*self._fields(theta), self.height, self.width)

    def to_dense(self) -> tf.Tensor:
        """Λ as a dense matrix, [D, D]."""
        return self.operator().to_dense()

    def assign(self, diagonal: np.ndarray, couplings: np.ndarray) -> None:
        """Sets Λ, in the shapes of the properties `diagonal` and `couplings`.

        Raises:
          ValueError: a shape is wrong, a number is not finite, a coupling is off the image, or Λ is not positive
            definite. The layer then keeps its weights.
        """
        shapes = (self.diagonal.shape, self.couplings.shape)
        diagonal, couplings = array("diagonal", diagonal, shapes[0]), array("couplings", couplings, shapes[1])
        groups = [diagonal.ravel()]
        for offset, coupling in zip(self.offsets, couplings, strict=True):
            inside = coupling if self.shared else coupling[edge_ends(offset)[0]]
            if not self.shared and np.count_nonzero(coupling) != np.count_nonzero(inside):
                raise ValueError("couplings must be zero where the neighbour is off the image")
            groups.append(inside.ravel())
        self.assign_theta(np.concatenate(groups))

    def assign_theta(self, theta: np.ndarray) -> None:
        """Sets θ, [P]; ValueError, with the layer unchanged, unless Λ(θ) is finite and positive definite."""
        self._check_built()
        theta = array("theta", theta, self.theta.shape, self.theta.dtype)
        if not self.operator(theta).positive_definite():
            raise ValueError("Λ must be positive definite; these weights, theta, give a matrix that is not")
        self.theta.assign(theta)

    def match_variances(self, images: np.ndarray) -> StencilPrecision:
        """Makes Λ diagonal, with the variances about zero that images [N, H, W] have; builds the layer if needed.

        Per-edge weights take the variance of each pixel, shared weights the mean one. Large arrays on disk (memory
        maps) are read in pieces.

        Returns:
          The layer itself.

        Raises:
          ValueError: the images are not a finite, non-empty floating-point stack of the layer's size, or pixels are
            zero in every image.
        """
        shape, dtype = np.shape(images), getattr(images, "dtype", None)
        if len(shape) != 3 or 0 in shape or getattr(dtype, "kind", "") != "f":
            raise ValueError(f"images must be a non-empty floating-point array [N, H, W], not {dtype} of shape {shape}")
        if not self.built:
            self.build(shape)
        image_shape("images", images, self.height, self.width)
        squares, step = np.zeros(shape[1:]), max(1, CHUNK_PIXELS // self.pixels)
        for start in range(0, len(images), step):
            chunk = np.asarray(images[start : start + step], np.float64)
            squares += np.einsum("nhw,nhw->hw", chunk, chunk)
        if not np.isfinite(squares).all():
            raise ValueError("images must be finite: some of their numbers are NaN or infinite")
        squares = squares.mean(keepdims=True) if self.shared else squares
        varying(squares)
        theta = np.zeros(self.theta.shape)
        theta[: squares.size] = (len(images) / squares).ravel()
        self.theta.assign(array("theta", theta, theta.shape, self.theta.dtype))
        return self

    def get_config(self) -> dict:
        return {**super().get_config(), "connectivity": self.connectivity, "weights": self.weighting}


def _own_dtype(dtype):
    """float64 where that is asked for by name or by the policy of Keras, else float32."""
    name = keras.dtype_policies.get(dtype).variable_dtype
    if dtype is None:
        return "float64" if name == "float64" else "float32"
    if name not in ("float32", "float64"):
        raise TypeError(f"dtype must be float32 or float64, not {name}")
    return name
