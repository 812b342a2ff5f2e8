"""LatticeGaussian: the exercise's p_θ(x) = exp(−½(x − μ)ᵀΛ(x − μ)) / Z as a TFP distribution on images [H, W]."""

from __future__ import annotations

import copy
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.internal import parameter_properties
from tensorflow_probability.python.internal.tensor_util import convert_nonref_to_tensor

from assignment.checks import image_shape
from assignment.lattice.operator import LinearOperatorLattice, batch_slices
from assignment.lattice.precision import StencilPrecision

tfd = tfp.distributions


class LatticeGaussian(tfd.Distribution):
    """N(μ, Λ⁻¹) on images [H, W], with Λ the precision of a lattice.

    The precision is read again at every call, so gradients reach the weights of a layer wherever the distribution was
    built. `variables` and `trainable_variables` hold θ of a layer (as a tf.Variable) and a mean that is a variable, as
    do those of the distributions that TFP makes from this one. A layer that is frozen when the distribution is built
    shows no θ.

    Args:
      precision: a built `StencilPrecision`, or a `LinearOperatorLattice` with any batch shape.
      mean: μ, [..., H, W]; zero when None. A variable is read again at every call, too.
      validate_args: whether every call makes sure that Λ is positive definite (tf.errors.InvalidArgumentError); it
        costs a factorisation. Without it, what has no value is NaN.
    """

    def __init__(
        self,
        precision: StencilPrecision | LinearOperatorLattice,
        mean: tf.Tensor | np.ndarray | tf.Variable | None = None,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "LatticeGaussian",
    ):
        parameters = dict(locals())
        if not isinstance(precision, (StencilPrecision, LinearOperatorLattice)):
            kind = type(precision).__name__
            raise TypeError(f"precision must be a StencilPrecision or a LinearOperatorLattice, not a {kind}")
        if isinstance(precision, StencilPrecision) and not precision.built:
            raise ValueError("precision must be built first: call it on an image, or precision.build((None, H, W))")
        if mean is not None:
            image_shape("mean", mean, precision.height, precision.width)
            if isinstance(mean, np.ndarray) and not np.isfinite(mean).all():
                raise ValueError("mean must be finite: some of its pixels are NaN or infinite")
        self.precision = precision
        if isinstance(precision, StencilPrecision) and precision.trainable_variables:
            self._theta = precision.theta.value  # tf.Module finds tf.Variables, but none inside a Keras layer.
        dtype = tf.as_dtype(self.operator().dtype)
        mean = mean.value if isinstance(mean, keras.Variable) else mean
        self.location = convert_nonref_to_tensor(mean, dtype=dtype, name="mean")
        super().__init__(
            dtype=dtype,
            reparameterization_type=tfd.FULLY_REPARAMETERIZED,
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            parameters=parameters,
            name=name,
        )

    @property
    def pixels(self) -> int:
        """D = H·W."""
        return self.precision.height * self.precision.width

    def operator(self) -> LinearOperatorLattice:
        """Λ now."""
        return self.precision.operator() if isinstance(self.precision, StencilPrecision) else self.precision

    def _centre(self, x):
        image_shape("x", x, self.precision.height, self.precision.width)
        x = tf.convert_to_tensor(x, self.dtype)
        return x if self.location is None else x - self.location

    def _unnormalized_log_prob(self, x):
        """f_θ(x) = −½(x − μ)ᵀΛ(x − μ) for images [..., H, W], as [...]."""
        return -0.5 * self.precision.quadratic_form(self._centre(x))

    def log_partition(self) -> tf.Tensor:
        """log Z = D/2 log 2π − ½ log det Λ, exact, in float64, [...]."""
        return 0.5 * self.pixels * math.log(2 * math.pi) - 0.5 * self.operator().log_determinant()

    def _log_prob(self, x):
        return self._unnormalized_log_prob(x) - tf.cast(self.log_partition(), self.dtype)

    def score(self, x: tf.Tensor) -> tf.Tensor:
        """∇_x log p(x) = −Λ(x − μ), [..., H, W]."""
        return -self.operator().product(self._centre(x))

    def _sample_n(self, n, seed=None):
        """x' = μ + Aε with the symmetric root A = Λ^(−½) (the exercise's formula).

        On large lattices without a sine form, whose symmetric root would need a dense eigendecomposition, A is the
        inverse Cholesky factor: another root of Σ, AAᵀ = Σ, and the draws have exactly the same law.
        """
        if not self.operator().has_inverse_root:
            return self.sample_by_factor(n, seed)
        return self._shift(self.operator().inverse_root_images(self._standard_normal(n, seed)))

    def sample_by_factor(self, n: int | tf.Tensor, seed: Any = None) -> tf.Tensor:
        """n draws [n, ..., H, W] of the same law as `sample`, by the cheapest factor of Σ instead of Λ^(−½)."""
        return self._shift(self.operator().sampler().colour(tf.cast(self._standard_normal(n, seed), tf.float64)))

    def _standard_normal(self, n, seed):
        shape = tf.concat([[n], self.batch_shape_tensor(), self.event_shape], axis=0)
        return tf.random.stateless_normal(shape, tfp.random.sanitize_seed(seed), dtype=self.dtype)

    def _shift(self, x):
        x = tf.cast(x, self.dtype)
        return x if self.location is None else x + self.location

    def _mean(self):
        return self._for_batch(tf.zeros(self.event_shape, self.dtype) if self.location is None else self.location)

    _mode = _mean

    def _covariance(self):
        """Σ = Λ⁻¹ over row-by-row pixel numbers, [..., D, D]."""
        return self._for_batch(self.operator().inverse().to_dense())

    def _variance(self):
        """The variance of each pixel, [..., H, W]."""
        return self._for_batch(tf.cast(self.operator().variances(), self.dtype))

    def _entropy(self):
        entropy = tf.cast(0.5 * self.pixels + self.log_partition(), self.dtype)
        return tf.broadcast_to(entropy, self.batch_shape_tensor())

    def _for_batch(self, value):
        return tf.broadcast_to(value, tf.concat([self.batch_shape_tensor(), tf.shape(value)[-2:]], axis=0))

    # What TensorFlow Probability asks of every distribution.

    def _event_shape(self):
        return tf.TensorShape([self.precision.height, self.precision.width])

    def _batch_shape(self):
        shape = self.operator().batch_shape
        return shape if self.location is None else tf.broadcast_static_shape(shape, self.location.shape[:-2])

    def _batch_shape_tensor(self, **_):
        shape = self.operator().batch_shape_tensor()
        return shape if self.location is None else tf.broadcast_dynamic_shape(shape, tf.shape(self.location)[:-2])

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return dict(
            precision=parameter_properties.BatchedComponentProperties(),
            mean=parameter_properties.ParameterProperties(event_ndims=2),
        )

    def __getitem__(self, slices) -> LatticeGaussian:
        """The distributions of a part of the batch. A layer, which has no batch, is shared by all of them."""
        changed = {}
        if not isinstance(self.precision, StencilPrecision):
            changed["precision"] = self.precision.part(slices, self.batch_shape_tensor())
        if self.location is not None or not changed:
            changed["mean"] = self.mean()[batch_slices(slices, 2)]
        return self.copy(**changed)

    def __deepcopy__(self, memo: dict) -> LatticeGaussian:
        # The copy's θ must be that of the copied layer.
        return type(self)(**copy.deepcopy(self.parameters, memo))

    def _broadcast_parameters_with_batch_shape(self, batch_shape):
        # TFP would take the method `mean` for the parameter of that name.
        batch_shape = tf.broadcast_dynamic_shape(tf.convert_to_tensor(batch_shape), self.batch_shape_tensor())
        return self.copy(mean=tf.broadcast_to(self.mean(), tf.concat([batch_shape, self.event_shape], axis=0)))

    def _parameter_control_dependencies(self, is_init):
        # When built for constants, at every call for variables.
        if self.validate_args and is_init != bool(self.precision.variables):
            return [self.operator().assert_positive_definite()]
        return []

    def _default_event_space_bijector(self):
        return tfp.bijectors.Identity(validate_args=self.validate_args)


@tfd.RegisterKL(LatticeGaussian, LatticeGaussian)
def kl_divergence(a: LatticeGaussian, b: LatticeGaussian, name: str | None = None) -> tf.Tensor:
    """KL(a ‖ b) = ½[tr(Λ_b Σ_a) − D + (μ_a − μ_b)ᵀΛ_b(μ_a − μ_b)] + log Z_b − log Z_a, [...], for images of one size.

    The trace takes Σ_a only where Λ_b has entries.
    """
    if a.event_shape != b.event_shape:
        raise ValueError(f"both must be densities of images of one size, not {a.event_shape} and {b.event_shape}")
    with tf.name_scope(name or "kl_divergence"):
        diagonal, couplings = (tf.cast(field, tf.float64) for field in b.operator().full_fields())
        variances, covariances = a.operator().selected_inverse(b.operator().offsets)
        trace = tf.reduce_sum(diagonal * variances, axis=[-2, -1])
        trace += 2 * tf.reduce_sum(couplings * covariances, axis=[-3, -2, -1])
        constant = 0.5 * (trace - a.pixels) + b.log_partition() - a.log_partition()
        return tf.cast(constant, a.dtype) - b.unnormalized_log_prob(a.mean())


def as_gaussian(model: StencilPrecision | LatticeGaussian) -> LatticeGaussian:
    """The density that an estimator fits: a `StencilPrecision` stands for the zero-mean `LatticeGaussian` of it."""
    if not isinstance(model, StencilPrecision) and not hasattr(model, "unnormalized_log_prob"):
        raise TypeError(f"model must be a LatticeGaussian or a StencilPrecision, not a {type(model).__name__}")
    return LatticeGaussian(model) if isinstance(model, StencilPrecision) else model
