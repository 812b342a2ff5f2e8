"""LatticeGaussian: the hand-out's p_θ(x) = exp(−½(x − μ)ᵀΛ(x − μ)) / Z as a TFP distribution on [H, W]."""

import math

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.internal import parameter_properties

from assignment.lattice.precision import StencilPrecision

tfd = tfp.distributions


class LatticeGaussian(tfd.Distribution):
    """N(μ, Λ⁻¹) on images [H, W], with Λ the precision of a lattice.

    The precision is read anew at every call, so gradients reach the weights of a layer wherever the distribution was
    built.

    Args:
      precision: a built `StencilPrecision`, or a `LinearOperatorLattice` with any batch shape.
      mean: μ, [..., H, W]; zero when None.
    """

    def __init__(self, precision, mean=None, validate_args=False, allow_nan_stats=True, name="LatticeGaussian"):
        parameters = dict(locals())
        if isinstance(precision, StencilPrecision) and not precision.built:
            raise ValueError("precision must be built first: call it on an image, or precision.build((None, H, W))")
        self.precision = precision
        dtype = tf.as_dtype(self.operator().dtype)
        self.location = None if mean is None else tf.convert_to_tensor(mean, dtype, name="mean")
        super().__init__(
            dtype=dtype,
            reparameterization_type=tfd.FULLY_REPARAMETERIZED,
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return dict(
            precision=parameter_properties.BatchedComponentProperties(),
            mean=parameter_properties.ParameterProperties(event_ndims=2),
        )

    def __getitem__(self, slices):
        """The distributions of a part of the batch."""
        slices = slices if isinstance(slices, tuple) else (slices,)
        image = (slice(None), slice(None)) if Ellipsis in slices else (Ellipsis,)
        return LatticeGaussian(
            self.operator()[slices], None if self.location is None else self.mean()[(*slices, *image)], name=self.name
        )

    @property
    def trainable_variables(self):
        """θ, where the precision is a layer."""
        return tuple(getattr(self.precision, "trainable_variables", ()))

    @property
    def pixels(self):
        """D = H·W."""
        return self.precision.height * self.precision.width

    def operator(self):
        """Λ as a `LinearOperatorLattice`."""
        return self.precision.operator() if isinstance(self.precision, StencilPrecision) else self.precision

    def _event_shape(self):
        return tf.TensorShape([self.precision.height, self.precision.width])

    def _event_shape_tensor(self):
        return tf.constant([self.precision.height, self.precision.width])

    def _batch_shape(self):
        shape = self.operator().batch_shape
        return shape if self.location is None else tf.broadcast_static_shape(shape, self.location.shape[:-2])

    def _batch_shape_tensor(self, **_):
        shape = self.operator().batch_shape_tensor()
        return shape if self.location is None else tf.broadcast_dynamic_shape(shape, tf.shape(self.location)[:-2])

    def _centre(self, x):
        x = tf.convert_to_tensor(x, self.dtype)
        return x if self.location is None else x - self.location

    def _times_precision(self, x):
        if isinstance(self.precision, StencilPrecision):
            return self.precision(x)
        flat = tf.reshape(x, tf.concat([tf.shape(x)[:-2], [self.pixels]], axis=0))
        y = self.precision.matvec(flat)
        return tf.reshape(y, tf.concat([tf.shape(y)[:-1], self.event_shape], axis=0))

    def score(self, x):
        """∇_x log p(x) = −Λ(x − μ), [..., H, W]."""
        return -self._times_precision(self._centre(x))

    def unnormalized_log_prob(self, x, name="unnormalized_log_prob"):
        """f_θ(x) = −½(x − μ)ᵀΛ(x − μ) for images [..., H, W], as [...]."""
        with self._name_and_control_scope(name):
            x = self._centre(x)
            if isinstance(self.precision, StencilPrecision):
                return -0.5 * self.precision.quadratic_form(x)
            return -0.5 * tf.reduce_sum(x * self._times_precision(x), axis=[-2, -1])

    def log_partition(self):
        """log Z = D/2 log 2π − ½ log det Λ, exact, in float64, [...]."""
        return 0.5 * self.pixels * math.log(2 * math.pi) - 0.5 * self.operator().log_determinant()

    def _log_prob(self, x):
        return self.unnormalized_log_prob(x) - tf.cast(self.log_partition(), self.dtype)

    def _entropy(self):
        entropy = tf.cast(0.5 * self.pixels + self.log_partition(), self.dtype)
        return tf.broadcast_to(entropy, self.batch_shape_tensor())

    def _mean(self):
        location = tf.zeros(self.event_shape, self.dtype) if self.location is None else self.location
        return tf.broadcast_to(location, tf.concat([self.batch_shape_tensor(), self.event_shape], axis=0))

    _mode = _mean

    def _covariance(self):
        """Σ = Λ⁻¹ over row-by-row pixel numbers, [..., D, D]."""
        return self.operator().solve(tf.eye(self.pixels, dtype=self.dtype))

    def _sample_n(self, n, seed=None):
        """x' = μ + Aε with the symmetric root A = Λ^(−½) (the hand-out's sampling formula).

        On large lattices without a sine form, whose symmetric root would need a dense eigendecomposition, A is the
        inverse Cholesky factor: another root of Σ, AAᵀ = Σ, and the draws have exactly the same law.
        """
        if not self.operator().has_inverse_root:
            return self.sample_by_factor(n, seed)
        return self._shift(self.operator().inverse_root_images(self._standard_normal(n, seed)))

    def sample_by_factor(self, n, seed=None):
        """n draws [n, ..., H, W] of the same law as `sample`, by the cheapest factor of Σ instead of Λ^(−½)."""
        return self._shift(self.operator().sampler().colour(tf.cast(self._standard_normal(n, seed), tf.float64)))

    def _standard_normal(self, n, seed):
        shape = tf.concat([[n], self.batch_shape_tensor(), self.event_shape], axis=0)
        return tf.random.stateless_normal(shape, tfp.random.sanitize_seed(seed), dtype=self.dtype)

    def _shift(self, x):
        x = tf.cast(x, self.dtype)
        return x if self.location is None else x + self.location

    def _default_event_space_bijector(self):
        return tfp.bijectors.Identity(validate_args=self.validate_args)


@tfd.RegisterKL(LatticeGaussian, LatticeGaussian)
def _kl_divergence(a, b, name=None):
    """KL(a ‖ b) = ½[tr(Λ_b Σ_a) − D + (μ_a − μ_b)ᵀΛ_b(μ_a − μ_b)] + log Z_b − log Z_a, [...]."""
    with tf.name_scope(name or "kl_divergence"):
        trace = tf.linalg.trace(b.operator().matmul(a.covariance()))
        shift = -2 * b.unnormalized_log_prob(a.mean())
        constant = tf.cast(b.log_partition() - a.log_partition(), a.dtype)
        return 0.5 * (trace - a.pixels + shift) + constant


def as_gaussian(model):
    """The model an estimator fits: a `StencilPrecision` stands for the zero-mean `LatticeGaussian` it defines."""
    return LatticeGaussian(model) if isinstance(model, StencilPrecision) else model
