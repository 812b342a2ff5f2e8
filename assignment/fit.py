"""Training: one compiled step, one loop. They know models and estimators only by their methods."""

import math

import keras
import numpy as np
import tensorflow as tf

from assignment.batches import as_images
from assignment.checkpoint import Checkpoint
from assignment.checks import positive, trainable, whole
from assignment.distribution import lost_workers, replicas, share
from assignment.errors import did_you_mean
from assignment.lattice.gaussian import as_gaussian
from assignment.lattice.information import independent_information
from assignment.lattice.precision import StencilPrecision
from assignment.whitening import Whitening

# AutoGraph rewrites the source of all that a graph calls, which took two thirds of the time to the first step. Only the
# Trainer's own few branches need it; an estimator must do without `if` and `while` on tensors.
unconverted = tf.autograph.experimental.do_not_convert

TOGETHER, TOGETHER_BYTES = 16, 2**25  # The most steps in one call of a graph, and the most that their images take.

OPTIMIZERS = {"sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}


def make_optimizer(optimizer, weights, reach, learning_rate=None):
    """A Keras optimizer by name, with a learning rate that suits whitened coordinates; an instance passes through.

    Args:
      optimizer: "sgd", "rmsprop", "adam" or a Keras optimizer.
      weights: P, the number of weights; reach: the longest step, see `Trainer`.
      learning_rate: of the named optimizer; None for `default_rate`.
    """
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    if optimizer not in OPTIMIZERS:
        words = f"optimizer must be one of {', '.join(OPTIMIZERS)} or a Keras optimizer, not {optimizer!r}"
        raise ValueError(words + did_you_mean(optimizer, OPTIMIZERS))
    if learning_rate is None:
        learning_rate = default_rate(optimizer, weights, reach)
    return OPTIMIZERS[optimizer](positive("learning_rate", learning_rate))


def default_rate(optimizer, weights, reach):
    """0.5 for SGD, and reach/√P for the others, whose steps have about the same length in every coordinate."""
    return 0.5 if optimizer == "sgd" else reach / math.sqrt(weights)


class Trainer:
    """Minimises an estimator's loss over θ and the estimator's own unknowns, one minibatch at a time.

    The optimizer moves the whitened coordinates φ of θ, see `Whitening`, and φ_c of c = c₀ + m·(θ − θ₀) + φ_c for an
    estimator that learns c, where m is E[s] under the distribution that whitens.
    No step is longer than `reach`, and after each Λ is positive definite: a step out of the cone is halved until it
    is not one. `slope` is that of the last loss along the move before it: positive when fresh images speak against it.

    Args:
      model: `LatticeGaussian` or `StencilPrecision`.
      estimator: anything with `loss(model, x, seed)` and `trainable_variables`.
      optimizer: a name or a Keras optimizer, see `make_optimizer`.
      reach: the longest step, in nats of spread.
      diagonal, turned: of the whitening.
      strategy: a `tf.distribute.Strategy` whose replicas share each minibatch; None for this process alone.
    """

    def __init__(
        self,
        model,
        estimator,
        optimizer,
        reach=0.75,
        learning_rate=None,
        *,
        diagonal=False,
        turned=False,
        strategy=None,
    ):
        self.model = as_gaussian(model)
        self.layer = self.model.precision
        if not isinstance(self.layer, StencilPrecision):
            raise TypeError(f"model must hold a StencilPrecision to be trained, not a {type(self.layer).__name__}")
        if isinstance(estimator, type) or not callable(getattr(estimator, "loss", None)):
            raise TypeError(f"estimator must be an object with loss(model, x, seed), not {estimator!r:.60}")
        self.estimator = estimator
        self.strategy = strategy or tf.distribute.get_strategy()
        self.theta = self.layer.theta.value
        self.extra = list(estimator.trainable_variables)
        weights, dtype = self.theta.shape[0], self.theta.dtype

        def constant(value):
            return tf.Variable(tf.cast(value, dtype), trainable=False)

        self.whitening = Whitening(self.theta, diagonal, turned)
        self.extra_origin = constant(tf.zeros([len(self.extra)]))
        self.mean = constant(tf.zeros([weights]))
        self.phi = tf.Variable(tf.zeros([weights], dtype))
        self.extra_phi = tf.Variable(tf.zeros([len(self.extra)], dtype))
        self.reach = constant(reach)
        self.halvings = tf.Variable(0, trainable=False)
        self.last_move = constant(tf.zeros([weights]))
        self.slope = constant(0.0)
        self.optimizer = make_optimizer(optimizer, weights, reach, learning_rate)
        self._at_default_rate = optimizer if learning_rate is None and optimizer in OPTIMIZERS else None
        self.optimizer.build([self.phi, self.extra_phi])

    @property
    def variables(self):
        """All that a checkpoint must hold."""
        own = [self.extra_origin, self.mean, self.phi, self.extra_phi, self.reach]
        own += [self.halvings, self.last_move, self.slope, *self.whitening.variables]
        return [self.theta, *self.extra, *own, *(variable.value for variable in self.optimizer.variables)]

    def centre(self, root, mean=None):
        """Makes the present weights the origin of new coordinates: L = `root`, [P, P] or [P], and m = `mean` [P]."""
        self.whitening.centre(self.theta, root)
        self.mean.assign(tf.zeros_like(self.mean) if mean is None else mean)
        if self.extra:
            self.extra_origin.assign(tf.stack(self.extra))
        self.phi.assign(tf.zeros_like(self.phi))
        self.last_move.assign(tf.zeros_like(self.phi))
        self.extra_phi.assign(tf.zeros_like(self.extra_phi))

    def settle(self, reach):
        """No step is longer than `reach` from now on, and the optimizer starts anew, at its default rate for them."""
        self.reach.assign(reach)
        for variable in self.optimizer.variables:
            if variable is not self.optimizer.learning_rate:
                variable.assign(tf.zeros_like(variable))
        if self._at_default_rate:
            self.optimizer.learning_rate.assign(default_rate(self._at_default_rate, self.phi.shape[0], reach))

    def spread(self):
        """‖φ‖: how far the fit has moved since `centre`, in nats."""
        return float(tf.norm(self.phi))

    def step(self, x, seed):
        """One step on images x [B, H, W]; returns the loss before it. ArithmeticError if it is not finite."""
        with lost_workers():
            return float(_finite(self._step(x, seed)))

    def steps(self, minibatches, seeds, reaches, count):
        """The first `count` of K steps, in one graph: the noise of the next is drawn while this one's small operations
        run. Each is on images [K, B, H, W], with a seed [K, 2], and no longer than a reach [K].

        Returns: the loss before each, [count], and θ [count, P] and the estimator's own unknowns [count, …] after it.
        """
        with lost_workers():
            records = self._steps(minibatches, seeds, tf.constant(reaches, self.theta.dtype), tf.constant(count))
            losses, theta, extra = map(np.asarray, records)
        return _finite(losses), theta, extra

    @tf.function(reduce_retracing=True, autograph=False)
    def _steps(self, minibatches, seeds, reaches, count):
        def step(k):
            self.reach.assign(reaches[k])
            loss = self._step(minibatches[k], seeds[k])
            return loss, tf.identity(self.theta), tf.convert_to_tensor(self.extra, self.theta.dtype)

        signature = (self.theta.dtype,) * 3
        return tf.map_fn(step, tf.range(count), fn_output_signature=signature, parallel_iterations=2)

    # Without XLA, which compiles anew for every number of noise images, and on 2 cores took as long for the gradient
    # (6.8 ms, 7.0 without), longer for random numbers (4.4, 4.0) and for xᵀΛx (1.4, 0.7).
    @tf.function(reduce_retracing=True)
    def _step(self, x, seed):
        shares = self.strategy.run(self._share_of_gradient, (x, seed))
        everything = self.strategy.reduce("SUM", shares, axis=None)  # One message between workers.
        loss, extra, gradient = tf.split(everything, [1, len(self.extra), self.phi.shape[0]])
        # The chain rule through c = c₀ + m·(θ − θ₀) + φ_c.
        whitened = self.whitening.gradient(gradient + self.mean * tf.reduce_sum(extra))
        finite = tf.reduce_all(tf.math.is_finite(loss)) & tf.reduce_all(tf.math.is_finite(whitened))
        if finite:
            before = tf.identity(self.phi)
            self.slope.assign(tf.tensordot(whitened, self.last_move, 1))
            self.optimizer.apply([whitened, extra], [self.phi, self.extra_phi])
            self._move(before, self.phi - before, whitened)
            self.last_move.assign(self.phi - before)
        return tf.where(finite, loss[0], math.nan)

    @unconverted
    def _share_of_gradient(self, x, seed):
        """What this replica adds to [loss, gradient in the estimator's own unknowns, gradient in θ], [1 + … + P]."""
        with tf.GradientTape() as tape:
            loss = self.estimator.loss(self.model, share(x), seed)
        gradient, *extra = tape.gradient(loss, [self.theta, *self.extra])
        return tf.concat([tf.stack([loss, *extra]), gradient], axis=0) / replicas()

    def _move(self, before, move, gradient):
        if self._keep_positive_definite(before, move) < 1 / 8:
            # Adam and RMSProp can press against the border of the cone where the gradient itself leads along it.
            length = tf.math.divide_no_nan(tf.norm(move), tf.norm(gradient))  # It may have vanished.
            self._keep_positive_definite(before, -gradient * length)

    def _keep_positive_definite(self, before, move):
        share = tf.minimum(1.0, self.reach / tf.norm(move))
        left = tf.constant(1.0)
        self._place(before + share * move)
        while not self._positive_definite():
            left = tf.where(left > 1e-6, left / 2, 0.0)
            self._place(before + left * share * move)
            self.halvings.assign_add(1)
        return left

    @unconverted
    def _positive_definite(self):
        return self.layer.operator().positive_definite()

    @unconverted
    def _place(self, phi):
        self.phi.assign(phi)
        shift = self.whitening.shift(phi)
        self.theta.assign(self.whitening.origin + shift)
        for k, variable in enumerate(self.extra):
            variable.assign(self.extra_origin[k] + tf.tensordot(self.mean, shift, 1) + self.extra_phi[k])


def _finite(losses):
    if not np.all(np.isfinite(losses)):
        raise ArithmeticError("training failed: the loss or its gradient is no longer finite")
    return losses


def fit(
    model,
    estimator,
    images,
    optimizer="adam",
    *,
    epochs=3,
    batch_size=512,
    learning_rate=None,
    seed=0,
    progress=None,
    snapshots=0,
    checkpoint=None,
    strategy=None,
):
    """Trains a model with GradientTape and a Keras optimizer.

    The weights are measured in units of an independent noise with the model's initial variances, and steps shrink
    linearly to nothing over the run.

    Args:
      model: `LatticeGaussian` or `StencilPrecision`, at its start; left at the fit.
      estimator: an objective with `loss(model, x, seed)`.
      images: [N, H, W], mean subtracted; or a stream of them, see `assignment.batches`.
      optimizer: "sgd", "rmsprop", "adam" or a Keras optimizer.
      progress: called as progress(step, steps, loss) after every few steps, see TOGETHER.
      snapshots: about how often θ is kept on the way.
      checkpoint: an `assignment.checkpoint.Checkpoint`, to go on from and to keep.
      strategy: a `tf.distribute.Strategy`, see `assignment.distribution`.

    Returns:
      A dict of lists: `loss` before each step, and `log_partition` after it where the estimator learns it; with
      `snapshots` also `snapshot_steps` and `snapshots`, θ after these steps.

    Raises:
      ValueError: bad arguments. ArithmeticError: the loss or its gradient was not finite.
    """
    images, checkpoint = as_images(images), checkpoint or Checkpoint()
    whole("epochs", epochs, least=1)
    whole("seed", seed)
    batch_size = min(whole("batch_size", batch_size, least=1), len(images))
    steps = len(images) // batch_size * epochs
    trainer = Trainer(model, estimator, optimizer, learning_rate=learning_rate, diagonal=True, strategy=strategy)
    trainable(trainer.layer, images)
    # Outside the graph, an estimator's complaints are clear.
    estimator.loss(trainer.model, images.take(batch_size), tf.constant([seed, 0]))
    information, mean = independent_information(trainer.layer)
    trainer.centre(np.sqrt(information), mean)
    together = max(1, min(TOGETHER, steps, TOGETHER_BYTES // (4 * batch_size * trainer.layer.pixels)))
    reach = float(trainer.reach)
    history = {"loss": []} | ({"log_partition": []} if trainer.extra else {})
    if snapshots:
        history |= {"snapshot_steps": [], "snapshots": []}
    history |= checkpoint.restore(trainer.variables)
    done = len(history["loss"])
    batches = iter(images.minibatches(batch_size, seed, skip=done))
    for first in range(done, steps, together):
        ahead = range(first, first + together)  # Always as many, for one trace, even if some are beyond the last.
        minibatches = np.stack([next(batches) for _ in ahead])
        seeds, reaches = [[seed, step] for step in ahead], [reach * (1 - step / steps) for step in ahead]
        losses, theta, extra = trainer.steps(minibatches, tf.constant(seeds), reaches, min(together, steps - first))
        history["loss"] += losses.tolist()
        if trainer.extra:
            history["log_partition"] += extra[:, 0].tolist()
        for step, weights in zip(ahead, theta, strict=False):
            if snapshots and (step == 0 or (step + 1) % max(1, steps // snapshots) == 0):
                history["snapshot_steps"].append(step + 1)
                history["snapshots"].append(weights)
        done = len(history["loss"])
        checkpoint.keep(lambda: history, now=done == steps)
        if progress:
            progress(done, steps, history["loss"][-1])
    return history
