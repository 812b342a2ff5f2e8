"""Bridges: how log Z changes from one Gaussian to another, by NCE between exact samples of both.

With one free constant NCE is Bennett's acceptance ratio (Bennett 1976; Meng & Wong 1996), and far from the target it is
cut into steps (Rhodes et al. 2020). No determinant of Λ is used.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from assignment.checks import array, pair, whole
from assignment.estimators.noise import draw_normal

STAGE_SPREAD = 1.5  # nats: where a log-ratio spreads no more on its noise, the classes still overlap well
SAMPLES_PER_NAT = 7000  # Draws from either side of a bridge for each nat of its spread: se(c) ≈ √(path/2·7000).
PIXELS_PER_NAT = 7000 * 28**2  # Of larger images fewer, of as many pixels, since log Z and se(c) grow with the pixels.
PILOT, FEWEST_DRAWS = 500, 50
LONGEST_BRIDGE = 1000.0  # nats of spread: the draws for more would take for ever
MOST_BRIDGES = 1000
CHUNK_PIXELS = 4096 * 28**2  # of a bridge's draws held at once


class Bridge(NamedTuple):
    """NCE between two Gaussians: log Z_upper − log Z_lower, its variance, the log-ratio's spread on the lower one in
    nats, and the overlap of the two (1: they cannot be told apart, 0: perfectly separated)."""

    difference: float
    variance: float
    spread: float
    overlap: float


def known_log_partition(layer):
    """log Z of a diagonal Λ, Σ_i ½ log(2π/Λ_ii); ValueError where Λ has couplings."""
    if np.any(layer.couplings):
        raise ValueError("telescoped NCE starts from a diagonal Λ, whose log Z is known; this layer has couplings")
    return float(np.sum(0.5 * np.log(2 * np.pi / layer.operator().diag_part().numpy().astype(np.float64))))


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
    x = factor.colour(white(count, layer, seed))
    return -0.5 * layer.quadratic_form(x, difference)


def white(n, layer, seed):
    """n images of independent N(0, 1); drawn by rows, which come in pairs where images do not."""
    return tf.reshape(draw_normal([n * layer.height, layer.width], seed), [n, layer.height, layer.width])


def single_precision_sampler(layer):
    """A float32 factor of the layer's Σ, see `LinearOperatorLattice.sampler`."""
    return tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), layer.operator().sampler())
