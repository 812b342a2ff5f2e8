"""LatticeGaussian: the hand-out's p_θ(x) = exp(−½(x − μ)ᵀΛ(x − μ)) / Z as a TFP distribution on [H, W]."""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.internal import parameter_properties
from tensorflow_probability.python.internal.tensor_util import convert_nonref_to_tensor

from assignment.checks import image_shape
from assignment.lattice.operator import batch_slices
from assignment.lattice.precision import StencilPrecision

tfd = tfp.distributions


class LatticeGaussian(tfd.Distribution):
    """N(μ, Λ⁻¹) on images [H, W], with Λ the precision of a lattice.

    The precision is read anew at every call, so gradients reach the weights of a layer wherever the distribution was
    built.

    `tfd.kl_divergence` knows other lattices, and the dense normals of TFP (`MultivariateNormalTriL`, `…FullCovariance`,
    `…LinearOperator`, `…Diag`) on the D = H·W pixels row by row, in both directions.

    Args:
      precision: a built `StencilPrecision`, or a `LinearOperatorLattice` with any batch shape.
      mean: μ, [..., H, W]; zero when None. A variable is read anew at every call, too.
      validate_args: whether every call makes sure that Λ is positive definite (tf.errors.InvalidArgumentError); it
        costs a factorisation. Without it, what has no value is NaN.
    """

    def __init__(self, precision, mean=None, validate_args=False, allow_nan_stats=True, name="LatticeGaussian"):
        parameters = dict(locals())
        if not hasattr(precision, "height") and not isinstance(precision, StencilPrecision):
            kind = type(precision).__name__
            raise TypeError(f"precision must be a StencilPrecision or a LinearOperatorLattice, not a {kind}")
        if isinstance(precision, StencilPrecision) and not precision.built:
            raise ValueError("precision must be built first: call it on an image, or precision.build((None, H, W))")
        if mean is not None:
            image_shape("mean", mean, precision.height, precision.width)
            if isinstance(mean, np.ndarray) and not np.isfinite(mean).all():
                raise ValueError("mean must be finite: some of its pixels are NaN or infinite")
        self.precision = precision
        dtype = tf.as_dtype(self.operator().dtype)
        self.location = convert_nonref_to_tensor(mean, dtype=dtype, name="mean")
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
        """The distributions of a part of the batch. A layer, which has no batch, is shared by all of them."""
        changed = {}
        if not isinstance(self.precision, StencilPrecision):
            changed["precision"] = self.precision.part(slices, self.batch_shape_tensor())
        if self.location is not None or not changed:
            changed["mean"] = self.mean()[batch_slices(slices, 2)]
        return self.copy(**changed)

    def _broadcast_parameters_with_batch_shape(self, batch_shape):
        # TFP would take the method `mean` for the parameter of that name.
        batch_shape = tf.broadcast_dynamic_shape(tf.convert_to_tensor(batch_shape), self.batch_shape_tensor())
        return self.copy(mean=tf.broadcast_to(self.mean(), tf.concat([batch_shape, self.event_shape], axis=0)))

    @property
    def trainable_variables(self):
        """θ, where the precision is a layer, and what else is a variable."""
        return (*getattr(self.precision, "trainable_variables", ()), *super().trainable_variables)

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
        image_shape("x", x, self.precision.height, self.precision.width)
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

    def _unnormalized_log_prob(self, x):
        """f_θ(x) = −½(x − μ)ᵀΛ(x − μ) for images [..., H, W], as [...]."""
        x = self._centre(x)
        if isinstance(self.precision, StencilPrecision):
            return -0.5 * self.precision.quadratic_form(x)
        return -0.5 * tf.reduce_sum(x * self._times_precision(x), axis=[-2, -1])

    def log_partition(self):
        """log Z = D/2 log 2π − ½ log det Λ, exact, in float64, [...]."""
        return 0.5 * self.pixels * math.log(2 * math.pi) - 0.5 * self.operator().log_determinant()

    def _log_prob(self, x):
        return self._unnormalized_log_prob(x) - tf.cast(self.log_partition(), self.dtype)

    def _entropy(self):
        entropy = tf.cast(0.5 * self.pixels + self.log_partition(), self.dtype)
        return tf.broadcast_to(entropy, self.batch_shape_tensor())

    def _mean(self):
        location = tf.zeros(self.event_shape, self.dtype) if self.location is None else self.location
        return tf.broadcast_to(location, tf.concat([self.batch_shape_tensor(), self.event_shape], axis=0))

    _mode = _mean

    def _covariance(self):
        """Σ = Λ⁻¹ over row-by-row pixel numbers, [..., D, D]."""
        shape = tf.concat([self.batch_shape_tensor(), [self.pixels, self.pixels]], axis=0)
        return tf.broadcast_to(self.operator().inverse_matrix(), shape)

    def _variance(self):
        """The variance of each pixel, [..., H, W]; by way of Σ."""
        variance = tf.linalg.diag_part(self.operator().inverse_matrix())
        images = tf.reshape(variance, tf.concat([tf.shape(variance)[:-1], self.event_shape], axis=0))
        return tf.broadcast_to(images, tf.concat([self.batch_shape_tensor(), self.event_shape], axis=0))

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

    def _parameter_control_dependencies(self, is_init):
        # At the start for constants, at every call for variables.
        varies = isinstance(self.precision, StencilPrecision) or bool(self.precision.variables)
        if self.validate_args and is_init != varies:
            return [self.operator().assert_positive_definite()]
        return []

    def _default_event_space_bijector(self):
        return tfp.bijectors.Identity(validate_args=self.validate_args)


@tfd.RegisterKL(LatticeGaussian, LatticeGaussian)
def _kl_divergence(a, b, name=None):
    """KL(a ‖ b) = ½[tr(Λ_b Σ_a) − D + (μ_a − μ_b)ᵀΛ_b(μ_a − μ_b)] + log Z_b − log Z_a, [...]."""
    _same_pixels(a.event_shape, b.event_shape)
    with tf.name_scope(name or "kl_divergence"):
        trace = tf.linalg.trace(b.operator().matmul(a.operator().inverse_matrix()))
        shift = -2 * b.unnormalized_log_prob(a.mean())
        constant = tf.cast(b.log_partition() - a.log_partition(), a.dtype)
        return 0.5 * (trace - a.pixels + shift) + constant


@tfd.RegisterKL(LatticeGaussian, tfd.MultivariateNormalLinearOperator)
def _kl_divergence_to_dense(a, b, name=None):
    """KL(a ‖ b) = ½ tr(Σ_b⁻¹ Σ_a) − log b(μ_a) − H(a), [...], with Σ_b = SSᵀ."""
    _same_pixels([a.pixels], b.event_shape)
    with tf.name_scope(name or "kl_divergence"):
        trace = tf.linalg.trace(b.scale.solve(b.scale.solve(a.operator().inverse_matrix()), adjoint=True))
        mean = tf.reshape(a.mean(), tf.concat([a.batch_shape_tensor(), [a.pixels]], axis=0))
        return 0.5 * trace - b.log_prob(mean) - a.entropy()


@tfd.RegisterKL(tfd.MultivariateNormalLinearOperator, LatticeGaussian)
def _kl_divergence_from_dense(a, b, name=None):
    """KL(a ‖ b) = ½ tr(Λ_b Σ_a) − log b(μ_a) − H(a), [...]."""
    _same_pixels(a.event_shape, [b.pixels])
    with tf.name_scope(name or "kl_divergence"):
        trace = tf.linalg.trace(b.operator().matmul(a.covariance()))
        mean = tf.reshape(a.mean(), tf.concat([a.batch_shape_tensor(), b.event_shape], axis=0))
        return 0.5 * trace - b.log_prob(mean) - a.entropy()


def _same_pixels(a, b):
    if not tf.TensorShape(a).is_compatible_with(b):
        raise ValueError(f"the divergence needs two densities of the same pixels, not of {a} and {b}")


def as_gaussian(model):
    """The model an estimator fits: a `StencilPrecision` stands for the zero-mean `LatticeGaussian` it defines."""
    if not isinstance(model, StencilPrecision) and not hasattr(model, "unnormalized_log_prob"):
        raise TypeError(f"model must be a LatticeGaussian or a StencilPrecision, not a {type(model).__name__}")
    return LatticeGaussian(model) if isinstance(model, StencilPrecision) else model
