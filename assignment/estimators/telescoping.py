"""Telescoped NCE: the noise starts as a diagonal Gaussian and moves with the fit, and the constants add up.

Against a fixed diagonal noise the classes separate perfectly at D = 784, and NCE's gradient vanishes wherever the fit
stands. Here the noise follows: it is always a Gaussian fitted a little earlier, sampled exactly, and the classifier
stays undecided. Where data and noise cannot be told apart any more, E_data[s] = E_θ[s]: that is maximum likelihood
(Goodfellow 2014, self-contrastive estimation).

The way is cut into stages p_0, p_1, …, p_T, each as long as a bridge may be. log Z_0 of the diagonal Gaussian is known,
and log Z_{t+1} − log Z_t is bridged (Rhodes et al. 2020). No determinant of Λ is used.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from assignment.batches import as_images
from assignment.checkpoint import Checkpoint
from assignment.checks import positive, trainable, whole
from assignment.distribution import draw_pieces, piece_bounds, replicas, shareable
from assignment.estimators.bridges import (
    STAGE_SPREAD,
    Bridge,
    bridge,
    known_log_partition,
    single_precision_sampler,
    white,
)
from assignment.estimators.nce import NCE, check_noise_count, nce_loss
from assignment.fit import Trainer
from assignment.lattice.information import moments_and_information, root

NOISE_SPREAD = 0.05  # Within a stage the noise catches up with the fit when their log-ratio spreads this many nats.
REACH, LAST_REACH = 0.75, 0.1  # The longest step, in nats of spread, on the way and at the end; there with many
LAST_STEP = 0.01  # weights as long as this per √weight, so that the fit forgets its way long before it is averaged.
# The final average is over so many noise images M that their error, P/2M nats, is this small, or this share of what
TOLERANCE, SHARE = 0.01, 0.1  # the sampling of the images themselves costs, P/2N.
MAX_STEPS = 20_000


class MovingNoise:
    """p_n = a lattice Gaussian that is moved to a fit, with a learned constant for its log Z.

    Args:
      layer: the `StencilPrecision` being fitted, where the noise starts.
      log_partition: log Z of that start.
    """

    def __init__(self, layer, log_partition):
        self.layer = layer
        self.theta = tf.Variable(layer.theta.value, trainable=False)
        self.log_partition = tf.Variable(log_partition, dtype=tf.float32, trainable=False)
        self._factor = tf.nest.map_structure(lambda t: tf.Variable(t, trainable=False), single_precision_sampler(layer))

    def follow(self, log_partition):
        """Moves the noise to the present fit."""
        self.theta.assign(self.layer.theta.value)
        self.log_partition.assign(log_partition)
        tf.nest.map_structure(lambda v, t: v.assign(t), self._factor, single_precision_sampler(self.layer))

    @property
    def variables(self):
        """All that a checkpoint must hold."""
        return [self.theta, self.log_partition, *tf.nest.flatten(self._factor)]

    @property
    def event_shape(self):
        return tf.TensorShape([self.layer.height, self.layer.width])

    def sample(self, n, seed):
        """n exact draws, [n, H, W]."""
        factor = tf.nest.map_structure(tf.convert_to_tensor, self._factor)
        return factor.colour(white(n, self.layer, seed))

    def log_prob(self, x):
        """log p_n of images [N, H, W], as [N]."""
        return -0.5 * self.layer.quadratic_form(x, self.theta) - self.log_partition


class TelescopedNCE(NCE):
    """NCE against a `MovingNoise`; every image of a minibatch meets exactly ν noise images."""

    def __init__(self, noise, noise_ratio=1.0):
        super().__init__(noise, noise_ratio, log_partition=noise.log_partition)

    def log_ratio(self, model, x):
        """G(x), [N]; of two Gaussians on one lattice it is linear in the difference of their weights."""
        layer, noise = model.precision, self.noise
        difference = layer.theta.value - noise.theta
        return -0.5 * layer.quadratic_form(x, difference) - (self.log_partition - noise.log_partition)

    def loss(self, model, x, seed):
        """−J on images x [B, H, W] and ν·B noise images; see `NCE.loss`."""
        self._check(model, x, seed)
        sizes = np.diff(piece_bounds(x.shape[0] * replicas()))
        counts = np.maximum(1, np.round(sizes * self.noise_ratio)).astype(np.int32) * (sizes > 0)
        noise = draw_pieces(self.noise.sample, counts, seed)
        return nce_loss(self.log_ratio(model, x), self.log_ratio(model, noise), self.noise_ratio)


class Stage(NamedTuple):
    """A Gaussian on the way: the training step that ended in it, θ [P], its learned log Z with its variance, and the
    bridge that led there (None at the start)."""

    step: int
    theta: np.ndarray
    log_partition: float
    variance: float
    bridge: Bridge | None


def telescope(
    layer,
    images,
    optimizer="adam",
    *,
    noise_ratio=1.0,
    passes=None,
    batch_size=1024,
    seed=0,
    progress=None,
    checkpoint=None,
    strategy=None,
):
    """Fits Λ and log Z by telescoped NCE.

    Args:
      layer: a built `StencilPrecision` at a diagonal start, whose log Z is known; left at the fit.
      images: [N, H, W], mean subtracted; or a stream of them, see `assignment.batches`.
      optimizer: "sgd", "rmsprop", "adam" or a Keras optimizer.
      noise_ratio: ν.
      passes: through the data, averaged over at the end; None for as many as TOLERANCE asks.
      progress: called as progress(step, stages, spread, loss) after every step.
      checkpoint, strategy: see `assignment.fit.fit`.

    Returns:
      (stages, history): the list of `Stage`s, the last one the fit; and a dict of `loss` and `log_partition` by step
      and `halvings` and `passes`.

    Raises:
      ValueError: bad arguments, such as a start that is not diagonal. ArithmeticError: the fit failed or did not
        settle.
    """
    whole("seed", seed)
    images, checkpoint = as_images(images), checkpoint or Checkpoint()
    trainable(layer, images)
    batch_size = shareable(min(whole("batch_size", batch_size, least=1), len(images) // 50))
    check_noise_count(positive("noise_ratio", noise_ratio), batch_size, layer.pixels)
    if passes is None:
        enough = min(layer.theta.shape[0] / (2 * TOLERANCE * len(images)), 1 / SHARE)
        passes = math.ceil(enough / noise_ratio)
    averaged_steps = whole("passes", passes, least=1) * (len(images) // batch_size)
    if averaged_steps > MAX_STEPS:
        raise ValueError(f"passes must be fewer: {passes} of them are {averaged_steps} steps, of {MAX_STEPS} in all")
    journey = Journey(layer, optimizer, noise_ratio, averaged_steps, seed, strategy)
    journey.recall(checkpoint.restore(journey.variables))
    for x in images.minibatches(batch_size, seed, skip=journey.steps):
        if journey.arrived:
            break
        loss = journey.step(x)
        checkpoint.keep(journey.memory, now=journey.arrived)
        if progress:
            progress(journey.steps, len(journey.stages), journey.trainer.spread(), loss)
    journey.end()
    return journey.stages, journey.history | {"halvings": int(journey.trainer.halvings), "passes": passes}


class Journey:
    """A telescoped fit under way, from a diagonal start by stages to the average over the last steps.

    Args:
      layer: see `telescope`.
      averaged_steps: how many steps the fit is averaged over, once it has settled.
    """

    def __init__(self, layer, optimizer, noise_ratio, averaged_steps, seed, strategy):
        self.layer, self.seed, self.averaged_steps = layer, seed, averaged_steps
        start = known_log_partition(layer)
        self.noise = MovingNoise(layer, start)
        self.estimator = TelescopedNCE(self.noise, noise_ratio)
        self.trainer = Trainer(layer, self.estimator, optimizer, reach=REACH, turned=True, strategy=strategy)
        self.last_reach = min(REACH, max(LAST_REACH, LAST_STEP * math.sqrt(layer.theta.shape[0])))
        whiten(self.trainer)
        self.stages = [Stage(0, layer.theta.numpy(), start, 0.0, None)]
        self.history = {"loss": [], "log_partition": []}
        self.noise_phi = np.zeros_like(self.stages[0].theta)
        self.discard = max(averaged_steps // 2, 30)
        self.total, self.summed = np.zeros(self.noise_phi.shape), 0

    @property
    def steps(self):
        return len(self.history["loss"])

    @property
    def arrived(self):
        return self.summed == self.averaged_steps

    def step(self, x):
        """One step on images x [B, H, W], and what follows from it for the noise and the stages; returns the loss."""
        if self.steps == MAX_STEPS:
            raise ArithmeticError(f"telescoped NCE did not settle in {MAX_STEPS} steps")
        loss = self.trainer.step(x, tf.constant([self.seed, self.steps]))
        self.history["loss"].append(loss)
        self.history["log_partition"].append(float(self.estimator.log_partition))
        self._settle()
        if not self.arrived:
            self._move_noise()
        return loss

    def _settle(self):
        trainer = self.trainer
        if trainer.reach > self.last_reach:
            if trainer.slope > 0:  # Kesten (1958): the steps have become longer than what they follow.
                trainer.reach.assign(trainer.reach / 2)
                if trainer.reach <= self.last_reach:
                    # Adam would go on dividing by the gradients of the way, and hardly move; and at the rate of the
                    # way the average over its steps is biased, by 0.6 of its standard error at P = 274.
                    trainer.settle(self.last_reach)
        elif self.discard:
            self.discard -= 1
        else:
            self.total, self.summed = self.total + self.layer.theta.numpy().astype(np.float64), self.summed + 1

    def _move_noise(self):
        stage_ends = self.trainer.spread() > STAGE_SPREAD
        if stage_ends:
            self._end_stage()
            self.estimator.log_partition.assign(self.stages[-1].log_partition)
            whiten(self.trainer)
        if stage_ends or np.linalg.norm(self.trainer.phi - self.noise_phi) > NOISE_SPREAD:
            self.noise.follow(self.estimator.log_partition)
            self.noise_phi = self.trainer.phi.numpy()

    def _end_stage(self):
        self.stages.append(next_stage(self.layer, self.stages[-1], self.steps, (self.seed, len(self.stages))))

    def end(self):
        """Leaves the layer at the average, which is the last stage."""
        self.layer.assign_theta(self.total / self.summed)
        self._end_stage()

    @property
    def variables(self):
        return [*self.trainer.variables, *self.noise.variables]

    def memory(self):
        """All else that a checkpoint must hold, as numbers, lists and dicts."""
        names = ("stages", "history", "noise_phi", "discard", "total", "summed")
        return {name: getattr(self, name) for name in names}

    def recall(self, memory):
        """Takes up what `memory` once gave; nothing where it is empty."""
        if memory:
            arrays = {name: np.asarray(memory[name], getattr(self, name).dtype) for name in ("noise_phi", "total")}
            vars(self).update(memory | arrays | {"stages": [_recalled(*stage) for stage in memory["stages"]]})


def _recalled(step, theta, log_partition, variance, link):
    return Stage(step, np.asarray(theta, np.float32), log_partition, variance, link and Bridge(*link))


def whiten(trainer):
    """Centres a trainer on its present Gaussian, in that Gaussian's own Fisher information."""
    moments, information = moments_and_information(trainer.layer)
    trainer.centre(root(information), -0.5 * moments)


def next_stage(layer, stage, step, seed):
    """The layer's present Gaussian as the stage after `stage`, with its log Z bridged from there."""
    theta = layer.theta.numpy()
    link = bridge(layer, stage.theta, theta, seed)
    return Stage(step, theta, stage.log_partition + link.difference, stage.variance + link.variance, link)
