"""StencilPrecision: the Keras layer that holds the stencil's weights θ and knows the precision Λ(θ)."""

import numbers

import keras
import numpy as np
import tensorflow as tf

from assignment.checks import array, floating, image_shape, one_of
from assignment.lattice.operator import LinearOperatorLattice, stencil_product
from assignment.lattice.stencil import edge_ends, edge_shape, offsets, padding, weight_sizes

WEIGHTS = ("shared", "per_edge")


@keras.saving.register_keras_serializable(package="assignment")
class StencilPrecision(keras.layers.Layer):
    """The map x ↦ Λx, with Λ the precision of a lattice of pixels (hand-out: "Λ has a 2D Laplacian structure").

    All weights are one trainable vector θ in which Λ is linear, `theta`: the diagonal, then the couplings direction by
    direction (right, down, and for 8 neighbours down-right, down-left). A new layer is the identity.

    Args:
      connectivity: 4 or 8 neighbours.
      weights: "shared", one diagonal weight and one for each direction (1 + K numbers), or "per_edge", one for each
        pixel and one for each edge.
    """

    def __init__(self, connectivity=4, weights="shared", **kwargs):
        super().__init__(**kwargs)
        self.offsets = offsets(connectivity)
        self.connectivity = connectivity
        self.weighting = one_of("weights", weights, WEIGHTS)
        self.shared = weights == "shared"

    def build(self, input_shape):
        """Creates θ for images [..., H, W]."""
        shape = tuple(input_shape)
        if len(shape) < 2 or not all(isinstance(n, numbers.Integral) and n > 0 for n in shape[-2:]):
            raise ValueError(f"input_shape must be [..., H, W] with known height and width, not {shape}")
        if "float" not in self.variable_dtype:
            raise TypeError(f"dtype must be a floating-point one, not {self.variable_dtype}")
        self.height, self.width = map(int, shape[-2:])
        self.edge_counts = weight_sizes(self.connectivity, self.height, self.width)
        self.group_sizes = [1] * len(self.edge_counts) if self.shared else self.edge_counts
        initial = np.repeat([1.0] + [0.0] * len(self.offsets), self.group_sizes)
        self.theta = self.add_weight(
            name="theta", shape=initial.shape, initializer=lambda shape, dtype=None: tf.constant(initial, dtype)
        )
        self.built = True

    @property
    def pixels(self):
        """D = H·W."""
        return self.height * self.width

    def call(self, x):
        """Λx for x [..., H, W]."""
        self._check(x)
        return stencil_product(*self._fields(), x)

    def compute_output_shape(self, input_shape):
        return input_shape

    def quadratic_moments(self, x):
        """The monomials xᵀ(∂Λ/∂θ_k)x of images x [..., H, W], as [..., P] in the order of θ.

        The hand-out's s_k(x) is −½ of them; they are all of x that a Gaussian lattice sees.
        """
        products = self._products(x)
        if self.shared:
            moments = [tf.reduce_sum(product, axis=[-2, -1]) for product in products]
            return tf.stack(moments[:1] + [2 * moment for moment in moments[1:]], axis=-1)
        batch = tf.shape(x)[:-2]
        sizes = zip(products, self.group_sizes, strict=True)
        flat = [tf.reshape(product, tf.concat([batch, [size]], axis=0)) for product, size in sizes]
        return tf.concat(flat[:1] + [2 * product for product in flat[1:]], axis=-1)

    def quadratic_form(self, x, theta=None):
        """xᵀΛx for x [..., H, W], as [...]; of other weights θ [P] where they are given."""
        theta = self.theta.value if theta is None else theta
        if self.shared:
            return tf.tensordot(self.quadratic_moments(x), theta, axes=1)
        # Without the moments [..., P] in one piece, whose writing and reading took longer than all else.
        parts = zip(self._products(x), tf.split(theta, self.group_sizes), strict=True)
        forms = [tf.tensordot(product, tf.reshape(part, product.shape[-2:]), axes=2) for product, part in parts]
        return forms[0] + 2 * tf.add_n(forms[1:])

    def _products(self, x):
        """x_i² [..., H, W], and x_i x_j of each kind of edge."""
        self._check(x)
        ends = [edge_ends(offset) for offset in self.offsets]
        return [x * x] + [x[first] * x[second] for first, second in ends]

    @property
    def diagonal(self):
        """Λ_ii: a scalar for shared weights, [H, W] for per-edge ones."""
        return tf.squeeze(self._fields()[0]) if self.shared else self._fields()[0]

    @property
    def couplings(self):
        """Λ_ij of the edges: [K] for shared weights; [K, H, W], zero where the neighbour is off the image, else."""
        return tf.reshape(self._fields()[1], [-1]) if self.shared else self._fields()[1]

    def _check(self, x):
        self._check_built()
        image_shape("x", x, self.height, self.width)
        floating("x", x)

    def _check_built(self):
        if not self.built:
            raise ValueError("the layer must be built first: call it on images, or layer.build((None, H, W))")

    def _fields(self):
        self._check_built()
        groups = tf.split(self.theta.value, self.group_sizes)
        if self.shared:
            return tf.reshape(groups[0], [1, 1]), tf.stack([tf.reshape(g, [1, 1]) for g in groups[1:]])
        couplings = [
            tf.pad(tf.reshape(group, edge_shape(offset, self.height, self.width)), padding(offset))
            for group, offset in zip(groups[1:], self.offsets, strict=True)
        ]
        return tf.reshape(groups[0], [self.height, self.width]), tf.stack(couplings)

    def operator(self):
        """Λ as a `tf.linalg.LinearOperator`."""
        return LinearOperatorLattice(*self._fields(), self.height, self.width)

    def to_dense(self):
        """Λ, [D, D]; for those who need it: D² numbers."""
        return self.operator().to_dense()

    def assign(self, diagonal, couplings):
        """Sets Λ, in the shapes of `diagonal` and `couplings`.

        Raises ValueError for a wrong shape, for numbers that are not finite, for a coupling off the image and for a Λ
        that is not positive definite; the layer then keeps its weights.
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

    def assign_theta(self, theta):
        """Sets θ, [P]; ValueError, with the layer unchanged, unless Λ(θ) is finite and positive definite."""
        self._check_built()
        before = tf.identity(self.theta.value)
        self.theta.assign(array("theta", theta, before.shape, before.dtype.as_numpy_dtype))
        if not self.operator().positive_definite():
            self.theta.assign(before)
            raise ValueError("Λ must be positive definite; these weights, theta, give a matrix that is not")

    def get_config(self):
        return {**super().get_config(), "connectivity": self.connectivity, "weights": self.weighting}
