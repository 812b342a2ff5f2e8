"""StencilPrecision: the Keras layer that holds the stencil's weights θ and knows the precision Λ(θ)."""

from __future__ import annotations

import numbers
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from assignment.checks import array, floating, image_shape, image_stack, one_of, varying
from assignment.lattice.operator import LinearOperatorLattice, by_weight, products
from assignment.lattice.stencil import offsets, weight_places, weight_sizes

WEIGHTS = ("shared", "per_edge")


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
        return self.operator().product(x)

    def quadratic_form(self, x: tf.Tensor, theta: tf.Tensor | None = None) -> tf.Tensor:
        """xᵀΛ(θ)x for x [..., H, W], as [...]; θ [P] is the layer's own where None."""
        self._check(x)
        return self.operator(theta).quadratic_form(x)

    def quadratic_moments(self, x: tf.Tensor) -> tf.Tensor:
        """The monomials xᵀ(∂Λ/∂θ_k)x of images x [..., H, W], as [..., P] in the order of θ.

        The sufficient statistics s_k(x) are −½ of them. The density depends on x through them alone.
        """
        self._check(x)
        return self.sum_by_weight(products(x, self.offsets))

    def sum_by_weight(self, fields: list[tf.Tensor]) -> tf.Tensor:
        """Sums numbers of the pixels and of the edges over those that share a weight; an edge counts twice, as in Λ.

        Args:
          fields: 1 + K tensors [..., H, W], zero where the neighbour is off the image.

        Returns:
          [..., P] in the order of θ.
        """
        twice = np.repeat([1.0] + [2.0] * len(self.offsets), self.group_sizes)
        if self.shared:
            return twice * tf.stack([tf.reduce_sum(field, axis=[-2, -1]) for field in fields], axis=-1)
        return twice * by_weight(tf.stack(fields, axis=-3))

    def _fields(self, theta=None):
        """(diagonal [H, W], couplings [K, H, W]); for shared weights [1, 1], [K, 1, 1]."""
        self._check_built()
        theta = self.theta.value if theta is None else theta
        if self.shared:
            fields = tf.reshape(theta, [-1, 1, 1])
            return fields[0], fields[1:]
        places = weight_places(self.connectivity, self.height, self.width)[:, None]
        fields = tf.scatter_nd(places, theta, [(1 + len(self.offsets)) * self.pixels])
        fields = tf.reshape(fields, [-1, self.height, self.width])
        return fields[0], fields[1:]

    @property
    def diagonal(self) -> tf.Tensor:
        """Λ_ii: a scalar for shared weights, [H, W] for per-edge ones."""
        return tf.squeeze(self._fields()[0]) if self.shared else self._fields()[0]

    @property
    def couplings(self) -> tf.Tensor:
        """Λ_ij of the edges: [K] for shared weights; [K, H, W], zero where the neighbour is off the image, else."""
        return tf.reshape(self._fields()[1], [-1]) if self.shared else self._fields()[1]

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
        diagonal = array("diagonal", diagonal, self.diagonal.shape)
        couplings = array("couplings", couplings, self.couplings.shape)
        theta = fields = np.append(diagonal, couplings)
        if not self.shared:
            theta = fields[weight_places(self.connectivity, self.height, self.width)]
        if np.count_nonzero(fields) != np.count_nonzero(theta):
            raise ValueError("couplings must be zero where the neighbour is off the image")
        self.assign_theta(theta)

    def assign_theta(self, theta: np.ndarray) -> None:
        """Sets θ, [P]; ValueError, with the layer unchanged, unless Λ(θ) is finite and positive definite."""
        self._check_built()
        theta = array("theta", theta, self.theta.shape, self.theta.dtype)
        if not self.operator(theta).positive_definite():
            raise ValueError("Λ must be positive definite; these weights, theta, give a matrix that is not")
        self.theta.assign(theta)

    def match_variances(self, images: np.ndarray) -> StencilPrecision:
        """Makes Λ diagonal, with the variances about zero that images [N, H, W] have; builds the layer if needed.

        Per-edge weights take the variance of each pixel, shared weights the mean one.

        Returns:
          The layer itself.

        Raises:
          ValueError: the images are not a finite, non-empty floating-point stack of the layer's size, or pixels are
            zero in every image.
        """
        images = image_stack(images)
        if not self.built:
            self.build(images.shape)
        image_shape("images", images, self.height, self.width)
        squares = np.einsum("nhw,nhw->hw", images, images, dtype=np.float64)
        squares = squares.mean(keepdims=True) if self.shared else squares
        varying(squares)
        theta = np.zeros(self.theta.shape)
        theta[: squares.size] = (len(images) / squares).ravel()
        self.theta.assign(array("theta", theta, theta.shape, self.theta.dtype))
        return self

    # What Keras asks of every layer, and the checks.

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "connectivity": self.connectivity, "weights": self.weighting}

    def _check(self, x):
        self._check_built()
        image_shape("x", x, self.height, self.width)
        floating("x", x)

    def _check_built(self):
        if not self.built:
            raise ValueError("the layer must be built first: call it on images, or layer.build((None, H, W))")


def _own_dtype(dtype):
    """float64 where that is asked for by name or by the policy of Keras, else float32."""
    name = keras.dtype_policies.get(dtype).variable_dtype
    if dtype is None:
        return "float64" if name == "float64" else "float32"
    if name not in ("float32", "float64"):
        raise TypeError(f"dtype must be float32 or float64, not {name}")
    return name
