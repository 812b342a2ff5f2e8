"""One step of training: a gradient in whitened coordinates, an optimizer's move, a Λ that stays positive definite."""

import math
from typing import Any

import keras
import tensorflow as tf

from assignment.errors import did_you_mean
from assignment.lattice.gaussian import LatticeGaussian, as_gaussian
from assignment.lattice.precision import StencilPrecision
from assignment.training.whitening import Whitening

OPTIMIZERS = {"sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}

# What is tried of a step, until Λ is positive definite: shares of the optimizer's move and of one along the gradient.
# Adam and RMSProp can press against the border of the cone where the gradient itself leads along it.
TRIES = [(0.5**k, 0.0) for k in range(4)] + [(0.0, 0.5**k) for k in range(21)] + [(0.0, 0.0)]


class Step:
    """Moves θ and an objective's own unknowns, one minibatch at a time.

    The optimizer moves the whitened coordinates φ of θ, see `Whitening`, and φ_c of c = c₀ + m·(θ − θ₀) + φ_c for an
    objective that learns c, where m = E[s] under the Gaussian that whitens: along a change of θ, c changes as log Z
    does. After each step Λ is positive definite: of a step that leaves the cone, the set of θ with a positive definite
    Λ(θ), a half, a quarter and an eighth are tried, then shorter and shorter steps along the gradient; at last it is
    given up.

    Args:
      model: a `LatticeGaussian` of a layer, or the `StencilPrecision` itself; it is trained in place.
      objective: anything with `loss(model, x, seed)` and `trainable_variables`: none, or its learned log Z.
      optimizer: "sgd", "rmsprop", "adam" or a Keras optimizer, whose learning rate is then its own.
      strategy: a `tf.distribute.Strategy` whose replicas share each minibatch; None for this process alone.

    Attributes:
      phi: φ, [P]; theta: θ, [P]; extra: the objective's own unknowns; layer: the layer that is trained.
      whitening: the coordinates, a `Whitening`.
      halvings: how many tries left the cone, a variable.
      stalled: how many steps in a row were given up, because no halving made Λ positive definite.
      gradient: the newest one in φ, [P].
      slope: the derivative of the newest loss along the last move; positive where that move now makes it worse.
    """

    def __init__(
        self,
        model: LatticeGaussian | StencilPrecision,
        objective: Any,
        optimizer: str | keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        self.model = as_gaussian(model)
        self.layer = self.model.precision
        if isinstance(self.model.location, tf.Variable) and self.model.location.trainable:
            raise ValueError("model must have a constant mean: only Λ is trained, and its mean is a trainable variable")
        if self.layer.theta.dtype != "float32":
            raise ValueError(f"layer must be float32 to be trained by gradients, not {self.layer.theta.dtype}")
        if isinstance(objective, type) or not callable(getattr(objective, "loss", None)):
            raise TypeError(f"objective must be an object with loss(model, x, seed), not {objective!r:.60}")
        self.objective, self.strategy = objective, strategy
        self.theta = self.layer.theta.value
        self.extra = list(objective.trainable_variables)
        weights, dtype = self.theta.shape[0], self.theta.dtype

        def zeros(*shape):
            return tf.Variable(tf.zeros(shape, dtype), trainable=False)

        self.whitening = Whitening(self.layer)
        self._mean, self._extra_origin = zeros(weights), zeros(len(self.extra))
        self.phi, self._extra_phi = tf.Variable(zeros(weights)), tf.Variable(zeros(len(self.extra)))
        self._last_move, self.gradient, self.slope = zeros(weights), zeros(weights), zeros()
        self.halvings, self.stalled = tf.Variable(0, trainable=False), tf.Variable(0, trainable=False)
        self._scheduled = not isinstance(optimizer, keras.optimizers.Optimizer)
        if self._scheduled:
            if not isinstance(optimizer, str) or optimizer not in OPTIMIZERS:
                words = f"optimizer must be one of {', '.join(OPTIMIZERS)} or a Keras optimizer, not {optimizer!r:.60}"
                raise ValueError(words + did_you_mean(optimizer, OPTIMIZERS))
            optimizer = OPTIMIZERS[optimizer]()
        self.optimizer = optimizer
        self.optimizer.build([self.phi, self._extra_phi])
        self.centre()

    def centre(self) -> None:
        """Makes the present weights the origin of new coordinates, whitened by their own Gaussian."""
        self.whitening.centre()
        self._mean.assign(-0.5 * self.whitening.moments)
        if self.extra:
            self._extra_origin.assign(tf.stack(self.extra))
        for coordinates in (self.phi, self._last_move, self._extra_phi):
            coordinates.assign(tf.zeros_like(coordinates))

    def forget(self) -> None:
        """Sets the optimizer's moments to zero: they belong to the gradients of an earlier phase."""
        for variable in self.optimizer.variables:
            if variable is not self.optimizer.learning_rate:
                variable.assign(tf.zeros_like(variable))

    def spread(self) -> float:
        """‖φ‖: how far the fit has moved since `centre`, in nats."""
        return float(tf.norm(self.phi))

    # Without XLA, which compiles anew for every number of noise images, and on 2 cores took as long for the gradient
    # (6.8 ms, 7.0 without), longer for random numbers (4.4, 4.0) and for xᵀΛx (1.4, 0.7). Without AutoGraph, which took
    # two thirds of the time to the first step: an objective must do without `if` and `while` on tensors.
    @tf.function(reduce_retracing=True, autograph=False)
    def run(
        self, minibatches: tf.Tensor, seeds: tf.Tensor, reaches: tf.Tensor, rates: tf.Tensor, count: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Makes the first `count` of K steps in one graph: the noise of the next is drawn while small operations run.

        Args:
          minibatches: [K, B, H, W]; seeds: [K, 2]; reaches: the longest step, [K], in nats: of spread, and of φ_c.
          rates: the learning rate, [K]; not used where the optimizer was given as an instance; count: a scalar, int32.

        Returns:
          The loss before each step, [count], NaN where it or its gradient is not finite; and after each step θ,
          [count, P], and the objective's own unknowns, [count, …].
        """

        def step(k, *found):
            loss = self._move(self._mean_gradient(minibatches[k], seeds[k]), reaches[k], rates[k])
            after = loss, self.theta, tf.convert_to_tensor(self.extra, self.theta.dtype)
            return k + 1, *(array.write(k, value) for array, value in zip(found, after, strict=True))

        arrays = [tf.TensorArray(self.theta.dtype, count) for _ in range(3)]
        _, *found = tf.while_loop(lambda k, *_: k < count, step, (tf.constant(0), *arrays), parallel_iterations=2)
        return tuple(array.stack() for array in found)

    def _gradient(self, x, seed):
        """[loss, its gradient in the objective's own unknowns, in θ], [1 + … + P]."""
        with tf.GradientTape() as tape:
            loss = self.objective.loss(self.model, x, seed)
        gradient, *extra = tape.gradient(loss, [self.theta, *self.extra])
        return tf.concat([tf.stack([loss, *extra]), gradient], axis=0)

    def _mean_gradient(self, x, seed):
        """`_gradient`, or the mean of those of the replicas.

        Each takes its share of the images and draws from a seed of its own. What does not divide is left out.
        """
        if self.strategy is None:
            return self._gradient(x, seed)

        def share(x, seed):
            context = tf.distribute.get_replica_context()
            replica, size = context.replica_id_in_sync_group, x.shape[0] // context.num_replicas_in_sync
            own_seed = tf.random.experimental.stateless_fold_in(seed, replica)
            return self._gradient(x[replica * size : (replica + 1) * size], own_seed)

        # All in one tensor: one message between workers.
        return self.strategy.reduce("MEAN", self.strategy.run(share, (x, seed)), axis=None)

    def _move(self, everything, reach, rate):
        """The optimizer's move; returns the loss, NaN where it or its gradient is not finite: then nothing moves."""
        loss, extra, gradient = tf.split(everything, [1, len(self.extra), self.phi.shape[0]])
        # The chain rule through c = c₀ + m·(θ − θ₀) + φ_c.
        whitened = self.whitening.gradient(gradient + self._mean * tf.reduce_sum(extra))
        finite = tf.reduce_all(tf.math.is_finite(tf.concat([loss, whitened], axis=0)))
        whitened, extra = (tf.where(finite, part, tf.zeros_like(part)) for part in (whitened, extra))
        reach = tf.where(finite, reach, 0.0)
        before, extra_before = tf.identity(self.phi), tf.identity(self._extra_phi)
        self.gradient.assign(whitened)
        self.slope.assign(tf.tensordot(whitened, self._last_move, 1))
        self._optimize(whitened, extra, rate)
        self._extra_phi.assign(tf.clip_by_value(self._extra_phi, extra_before - reach, extra_before + reach))
        self._limit(before, self.phi - before, whitened, reach)
        self._last_move.assign(self.phi - before)
        return tf.where(finite, loss[0], math.nan)

    def _optimize(self, gradient, extra, rate):
        if self._scheduled:
            self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply([gradient, extra], [self.phi, self._extra_phi])

    def _limit(self, before, move, gradient, reach):
        """As far along the move as `reach` and the cone allow; or else along the gradient; or nowhere."""
        steepest = -gradient * tf.math.divide_no_nan(tf.norm(move), tf.norm(gradient))  # It may have vanished.
        length = tf.norm(move)
        share = tf.where(tf.math.is_finite(length), tf.minimum(1.0, tf.math.divide_no_nan(reach, length)), 0.0)
        directions = tf.math.multiply_no_nan(tf.stack([move, steepest]), share)  # Nowhere, if the move overflows.

        def outside(_):  # A step of no length needs no factorisation.
            return tf.cond(share > 0, lambda: ~self.layer.operator().positive_definite(), lambda: False)

        def shorter(tried):
            self._place(before + tf.tensordot(tf.gather(TRIES, tried + 1), directions, 1))
            self.halvings.assign_add(1)
            return [tried + 1]

        self._place(before + directions[0])
        (tried,) = tf.while_loop(outside, shorter, [tf.constant(0)])
        self.stalled.assign(tf.where(tried + 1 < len(TRIES), 0, self.stalled + 1))

    def _place(self, phi):
        self.phi.assign(phi)
        shift = self.whitening.shift(phi)
        self.theta.assign(self.whitening.origin + shift)
        for k, variable in enumerate(self.extra):
            variable.assign(self._extra_origin[k] + tf.tensordot(self._mean, shift, 1) + self._extra_phi[k])
