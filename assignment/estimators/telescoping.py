"""Telescoped NCE: the noise starts as a diagonal Gaussian and moves with the fit, and the constants add up.

Against a fixed diagonal noise the classes separate perfectly at D = 784, and NCE's gradient vanishes wherever the fit
stands. Here the noise follows: it is always a Gaussian fitted a little earlier, sampled exactly, and the classifier
stays undecided. Where data and noise cannot be told apart any more, E_data[s] = E_θ[s]: that is maximum likelihood
(Goodfellow 2014, self-contrastive estimation).

The way is cut into stages p_0, p_1, …, p_T. log Z_0 of the diagonal Gaussian is known, and log Z_{t+1} − log Z_t is
itself found by NCE, with one free constant, between exact samples of p_t and of p_{t+1} (Bennett 1976, acceptance
ratio; Meng & Wong 1996; Rhodes et al. 2020). No determinant of Λ is used.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from assignment.checks import array, image_stack, pair, positive, trainable, whole
from assignment.estimators.nce import NCE, check_noise_count, nce_loss
from assignment.fit import Trainer, minibatches
from assignment.lattice.information import moments_and_information, root

STAGE_SPREAD = 1.5  # A stage ends when its log-ratio spreads this many nats over its noise: classes still overlap.
NOISE_SPREAD = 0.05  # Within a stage the noise catches up with the fit when their log-ratio spreads this much.
REACH, LAST_REACH = 0.75, 0.1  # The longest step, in nats of spread, on the way and at the end; there with many
LAST_STEP = 0.01  # weights as long as this per √weight, so that the fit forgets its way long before it is averaged.
# The final average is over so many noise images M that their error, P/2M nats, is this small, or this share of what
TOLERANCE, SHARE = 0.01, 0.1  # the sampling of the images themselves costs, P/2N.
SAMPLES_PER_NAT = 7000  # Draws from either side of a bridge for each nat of its spread: se(c) ≈ √(path/2·7000).
CHUNK = 4096  # draws of a bridge held at once
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

    def sample(self, n, seed):
        """n exact draws, [n, H, W]."""
        factor = tf.nest.map_structure(tf.convert_to_tensor, self._factor)
        return factor.colour(tf.random.stateless_normal([n, self.layer.height, self.layer.width], seed))

    def log_prob(self, x):
        """log p_n of images [N, H, W], as [N]."""
        return -0.5 * tf.tensordot(self.layer.quadratic_moments(x), self.theta, axes=1) - self.log_partition


class TelescopedNCE(NCE):
    """NCE against a `MovingNoise`; every image of a minibatch meets exactly ν noise images."""

    def __init__(self, noise, noise_ratio=1.0):
        super().__init__(noise, noise_ratio, log_partition=noise.log_partition)

    def log_ratio(self, model, x):
        """G(x), [N]; of two Gaussians on one lattice it is linear in the difference of their weights."""
        layer, noise = model.precision, self.noise
        difference = layer.theta.value - noise.theta
        moments = layer.quadratic_moments(x)
        return -0.5 * tf.tensordot(moments, difference, axes=1) - (self.log_partition - noise.log_partition)

    def loss(self, model, x, seed):
        """−J on images x [B, H, W]."""
        drawn = self.noise.sample(max(1, round(x.shape[0] * self.noise_ratio)), seed)
        return nce_loss(self.log_ratio(model, x), self.log_ratio(model, drawn), self.noise_ratio)


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


def telescope(layer, images, optimizer="adam", *, noise_ratio=1.0, passes=None, batch_size=1024, seed=0, progress=None):
    """Fits Λ and log Z by telescoped NCE.

    Args:
      layer: a built `StencilPrecision` at a diagonal start, whose log Z is known; left at the fit.
      images: [N, H, W], mean subtracted.
      optimizer: "sgd", "rmsprop", "adam" or a Keras optimizer.
      noise_ratio: ν.
      passes: through the data, averaged over at the end; None for as many as TOLERANCE asks.
      progress: called as progress(step, stages, spread, loss) after every step.

    Returns:
      (stages, history): the list of `Stage`s, the last one the fit; and a dict of `loss` and `log_partition` by step
      and `halvings` and `passes`.

    Raises:
      ValueError: bad arguments, such as a start that is not diagonal. ArithmeticError: the fit failed or did not
        settle.
    """
    whole("seed", seed)
    images = image_stack(images)
    trainable(layer, images)
    batch_size = max(1, min(whole("batch_size", batch_size, least=1), len(images) // 50))
    pass_length = len(images) // batch_size
    check_noise_count(positive("noise_ratio", noise_ratio), batch_size, layer.pixels)
    if passes is None:
        enough = min(layer.theta.shape[0] / (2 * TOLERANCE * len(images)), 1 / SHARE)
        passes = math.ceil(enough / noise_ratio)
    if whole("passes", passes, least=1) * pass_length > MAX_STEPS:
        raise ValueError(f"passes must be fewer: {passes} of {pass_length} steps are more than {MAX_STEPS} in all")
    last_reach = min(REACH, max(LAST_REACH, LAST_STEP * math.sqrt(layer.theta.shape[0])))
    start = known_log_partition(layer)
    noise = MovingNoise(layer, start)
    estimator = TelescopedNCE(noise, noise_ratio)
    trainer = Trainer(layer, estimator, optimizer, reach=REACH)
    whiten(trainer)
    stages = [Stage(0, layer.theta.numpy(), start, 0.0, None)]
    history = {"loss": [], "log_partition": []}
    noise_phi = np.zeros_like(stages[0].theta)
    average, averaged, discard = 0.0, 0, max(passes * pass_length // 2, 30)
    batches = minibatches(images, batch_size, seed)
    for step in itertools.count():
        loss = trainer.step(next(batches), tf.constant([seed, step]))
        history["loss"].append(loss)
        history["log_partition"].append(float(estimator.log_partition))
        if progress:
            progress(step, len(stages), trainer.spread(), loss)
        if trainer.reach > last_reach:
            if trainer.slope > 0:  # Kesten (1958): the steps have become longer than what they follow.
                trainer.reach.assign(tf.maximum(trainer.reach / 2, last_reach))
        elif discard:
            discard -= 1
        else:
            average, averaged = average + layer.theta.numpy().astype(np.float64), averaged + 1
            if averaged == passes * pass_length:
                break
        if step == MAX_STEPS:
            raise ArithmeticError(f"telescoped NCE did not settle in {MAX_STEPS} steps")
        stage_ends = trainer.spread() > STAGE_SPREAD
        if stage_ends:
            stages.append(next_stage(layer, stages[-1], step + 1, (seed, len(stages))))
            estimator.log_partition.assign(stages[-1].log_partition)
            whiten(trainer)
        if stage_ends or np.linalg.norm(trainer.phi - noise_phi) > NOISE_SPREAD:
            noise.follow(estimator.log_partition)
            noise_phi = trainer.phi.numpy()
    layer.assign_theta(average / averaged)
    stages.append(next_stage(layer, stages[-1], step + 1, (seed, len(stages))))
    return stages, history | {"halvings": int(trainer.halvings), "passes": passes}


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
    log_partition, variance = known_log_partition(layer), 0.0
    here, share = start, 0.0
    for k in itertools.count():
        rest = (fitted - here).astype(np.float32)
        pilot = np.std(_log_ratio(layer, here, rest, 500, tf.constant([seed, 2 * k])))
        share = 1.0 if pilot <= STAGE_SPREAD else share + (1 - share) * STAGE_SPREAD / pilot
        there = ((1 - share) * start + share * fitted).astype(fitted.dtype)
        link = bridge(layer, here, there, (seed, 2 * k + 1))
        log_partition, variance, here = log_partition + link.difference, variance + link.variance, there
        if share == 1.0:
            layer.theta.assign(fitted)
            return log_partition, variance


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
    # A pilot on the upper side finds the spread, and with it how many draws the bridge needs.
    spread = float(np.std(_log_ratio(layer, upper, difference, 500, seeds[0])))
    count = max(500, round(SAMPLES_PER_NAT * spread))
    below, above = (_log_ratio(layer, t, difference, count, s) for t, s in ((lower, seeds[1]), (upper, seeds[2])))
    constant = _free_constant(below, above)
    sure_below, sure_above = _sigmoid(below - constant), _sigmoid(constant - above)
    curvature = np.mean(sure_below * (1 - sure_below)) + np.mean(sure_above * (1 - sure_above))
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


def _log_ratio(layer, theta, difference, count, seed):
    """f_upper − f_lower on `count` exact draws of N(0, Λ(θ)⁻¹), float64 [count]."""
    present = layer.theta.numpy()
    layer.assign_theta(theta)
    factor = single_precision_sampler(layer)
    layer.theta.assign(present)
    chunks = [
        # The size as a tensor: a Python number would have every size traced anew.
        _log_ratio_of_draws(layer, factor, difference, tf.constant(min(CHUNK, count - start)), seed + [0, start])
        for start in range(0, count, CHUNK)
    ]
    return np.concatenate(chunks).astype(np.float64)


@tf.function(reduce_retracing=True)
def _log_ratio_of_draws(layer, factor, difference, count, seed):
    x = factor.colour(tf.random.stateless_normal([count, layer.height, layer.width], seed))
    return -0.5 * tf.tensordot(layer.quadratic_moments(x), difference, axes=1)


def single_precision_sampler(layer):
    """A float32 factor of the layer's Σ, see `LinearOperatorLattice.sampler`."""
    return tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), layer.operator().sampler())
