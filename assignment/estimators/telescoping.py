"""Telescoped NCE: the noise starts as a diagonal Gaussian and moves with the fit, and the constants add up.

Against a fixed diagonal noise the classes separate perfectly at D = 784, and NCE's gradient vanishes wherever the fit
stands. Here the noise follows: it is always a Gaussian fitted a little earlier, sampled exactly, and the classifier
stays undecided. Where data and noise cannot be told apart any more, E_data[s] = E_θ[s]: that is maximum likelihood
(Goodfellow 2014, self-contrastive estimation).

The way is cut into stages p_0, p_1, …, p_T. log Z_0 of the diagonal Gaussian is known, and log Z_{t+1} − log Z_t is
itself found by NCE, with one free constant, between exact samples of p_t and of p_{t+1} (Bennett 1976, acceptance
ratio; Meng & Wong 1996; Rhodes et al. 2020). No determinant of Λ is used.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from assignment.batches import as_images
from assignment.checkpoint import Checkpoint
from assignment.checks import array, pair, positive, trainable, whole
from assignment.distribution import draw_pieces, piece_bounds, replicas, shareable
from assignment.estimators.nce import NCE, check_noise_count, nce_loss
from assignment.estimators.noise import draw_normal
from assignment.fit import Trainer
from assignment.lattice.information import moments_and_information, root

STAGE_SPREAD = 1.5  # A stage ends when its log-ratio spreads this many nats over its noise: classes still overlap.
NOISE_SPREAD = 0.05  # Within a stage the noise catches up with the fit when their log-ratio spreads this much.
REACH, LAST_REACH = 0.75, 0.1  # The longest step, in nats of spread, on the way and at the end; there with many
LAST_STEP = 0.01  # weights as long as this per √weight, so that the fit forgets its way long before it is averaged.
# The final average is over so many noise images M that their error, P/2M nats, is this small, or this share of what
TOLERANCE, SHARE = 0.01, 0.1  # the sampling of the images themselves costs, P/2N.
SAMPLES_PER_NAT = 7000  # Draws from either side of a bridge for each nat of its spread: se(c) ≈ √(path/2·7000).
PIXELS_PER_NAT = 7000 * 28**2  # Of larger images fewer, of as many pixels, since log Z and se(c) grow with the pixels.
PILOT, FEWEST_DRAWS = 500, 50
LONGEST_BRIDGE = 1000.0  # nats of spread: the draws for more would take for ever
MOST_BRIDGES = 1000
CHUNK_PIXELS = 4096 * 28**2  # of a bridge's draws held at once
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
        return factor.colour(_white(n, self.layer, seed))

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


class Bridge(NamedTuple):
    """NCE between two Gaussians: log Z_upper − log Z_lower, its variance, the log-ratio's spread on the lower one in
    nats, and the overlap of the two (1: they cannot be told apart, 0: perfectly separated)."""

    difference: float
    variance: float
    spread: float
    overlap: float


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
        self.trainer = Trainer(layer, self.estimator, optimizer, reach=REACH, strategy=strategy)
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
                trainer.reach.assign(tf.maximum(trainer.reach / 2, self.last_reach))
                if trainer.reach <= self.last_reach:
                    trainer.forget()  # Adam would go on dividing by the gradients of the way, and hardly move.
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


def known_log_partition(layer):
    """log Z of a diagonal Λ, Σ_i ½ log(2π/Λ_ii); ValueError where Λ has couplings."""
    if np.any(layer.couplings):
        raise ValueError("telescoped NCE starts from a diagonal Λ, whose log Z is known; this layer has couplings")
    return float(np.sum(0.5 * np.log(2 * np.pi / layer.operator().diag_part().numpy().astype(np.float64))))


def whiten(trainer):
    """Centres a trainer on its present Gaussian, in that Gaussian's own Fisher information."""
    moments, information = moments_and_information(trainer.layer)
    trainer.centre(root(information), -0.5 * moments)


def next_stage(layer, stage, step, seed):
    """The layer's present Gaussian as the stage after `stage`, with its log Z bridged from there."""
    theta = layer.theta.numpy()
    link = bridge(layer, stage.theta, theta, seed)
    return Stage(step, theta, stage.log_partition + link.difference, stage.variance + link.variance, link)


def bridge_from_diagonal(layer, seed):
    """The learned log Z of any fit, with its variance: bridges along the straight way from its own diagonal.

    Every Λ on the way is positive definite, for the cone is convex. `seed` is an integer.
    """
    whole("seed", seed)
    fitted, groups = layer.theta.numpy(), layer.group_sizes[0]
    start = np.concatenate([fitted[:groups], np.zeros_like(fitted[groups:])])
    layer.theta.assign(start)
    try:
        log_partition, variance = known_log_partition(layer), 0.0
        here, share = start, 0.0
        for k in range(MOST_BRIDGES):
            rest = (fitted - here).astype(np.float32)
            pilot = np.std(_log_ratio(layer, _sampler_at(layer, here), rest, PILOT, tf.constant([seed, 2 * k])))
            share = 1.0 if pilot <= STAGE_SPREAD else share + (1 - share) * STAGE_SPREAD / pilot
            there = ((1 - share) * start + share * fitted).astype(fitted.dtype)
            link = bridge(layer, here, there, (seed, 2 * k + 1))
            log_partition, variance, here = log_partition + link.difference, variance + link.variance, there
            if share == 1.0:
                return log_partition, variance
    finally:
        layer.theta.assign(fitted)
    raise ArithmeticError(f"log Z could not be found in {MOST_BRIDGES} bridges: Λ is too far from its own diagonal")


def bridge(layer, lower, upper, seed):
    """log Z_upper − log Z_lower by NCE with one free constant between exact samples of both Gaussians.

    Args:
      layer: says how θ makes Λ; its own θ is left alone.
      lower, upper: θ of the two Gaussians, [P].
      seed: a pair of integers.
    """
    pair("seed", seed)
    lower, upper = (array(name, t, layer.theta.shape) for name, t in (("lower", lower), ("upper", upper)))
    difference = (upper - lower).astype(np.float32)
    seeds = tf.random.split(seed, 3)
    below, above = (_sampler_at(layer, t) for t in (lower, upper))
    # A pilot on the upper side finds the spread, and with it how many draws the bridge needs.
    pilot = max(FEWEST_DRAWS, min(PILOT, PIXELS_PER_NAT // layer.pixels))
    spread = float(np.std(_log_ratio(layer, above, difference, pilot, seeds[0])))
    if not spread < LONGEST_BRIDGE:
        raise ArithmeticError(
            f"log Z cannot be bridged over {spread:.3g} nats of spread, more than {LONGEST_BRIDGE:g}: the learning "
            "rate is too high, or Λ too near to a singular one"
        )
    count = max(pilot, round(min(SAMPLES_PER_NAT, PIXELS_PER_NAT / layer.pixels) * spread))
    below, above = (_log_ratio(layer, f, difference, count, s) for f, s in ((below, seeds[1]), (above, seeds[2])))
    constant = _free_constant(below, above)
    sure_below, sure_above = _sigmoid(below - constant), _sigmoid(constant - above)
    curvature = np.mean(sure_below * (1 - sure_below)) + np.mean(sure_above * (1 - sure_above))
    if not curvature > 0:
        raise ArithmeticError(f"log Z cannot be bridged: none of {count} draws is of the one Gaussian and of the other")
    variance = (np.var(sure_below) + np.var(sure_above)) / (count * curvature**2)
    overlap = 1 - 0.5 * (np.mean(np.abs(2 * sure_below - 1)) + np.mean(np.abs(2 * sure_above - 1)))
    return Bridge(float(constant), float(variance), float(np.std(below)), float(overlap))


def _free_constant(below, above):
    """The c at which NCE's gradient in c vanishes: mean σ(c − G(above)) = mean σ(G(below) − c)."""
    low, high = min(below.min(), above.min()), max(below.max(), above.max())
    for _ in range(40):
        middle = (low + high) / 2
        if np.mean(_sigmoid(middle - above)) < np.mean(_sigmoid(below - middle)):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


def _sampler_at(layer, theta):
    """A float32 factor of Σ(θ); ValueError where Λ(θ) is not positive definite."""
    present = layer.theta.numpy()
    layer.assign_theta(theta)
    factor = single_precision_sampler(layer)
    layer.theta.assign(present)
    return factor


def _log_ratio(layer, factor, difference, count, seed):
    """f_upper − f_lower on `count` exact draws by a factor of Σ, float64 [count]."""
    chunk = max(1, CHUNK_PIXELS // layer.pixels)
    chunks = [
        # The size as a tensor: a Python number would have every size traced anew.
        _log_ratio_of_draws(layer, factor, difference, tf.constant(min(chunk, count - start)), seed + [0, start])
        for start in range(0, count, chunk)
    ]
    return np.concatenate(chunks).astype(np.float64)


@tf.function(reduce_retracing=True, autograph=False)
def _log_ratio_of_draws(layer, factor, difference, count, seed):
    x = factor.colour(_white(count, layer, seed))
    return -0.5 * layer.quadratic_form(x, difference)


def _white(n, layer, seed):
    """n images of independent N(0, 1); drawn by rows, which come in pairs where images do not."""
    return tf.reshape(draw_normal([n * layer.height, layer.width], seed), [n, layer.height, layer.width])


def single_precision_sampler(layer):
    """A float32 factor of the layer's Σ, see `LinearOperatorLattice.sampler`."""
    return tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), layer.operator().sampler())
