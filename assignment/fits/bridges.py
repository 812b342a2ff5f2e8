"""Bridges: how log Z changes from one Gaussian to another, by NCE between exact samples of both.

With one free constant NCE is Bennett's acceptance ratio (Bennett 1976; Meng & Wong 1996). Between Gaussians that are
far apart the way is cut into steps (Rhodes et al. 2020). No determinant of Λ is used.
"""

import itertools
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from assignment.checks import array, pair, whole
from assignment.lattice.operator import LinearOperatorLattice
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.telescoped_nce import float32_sampler, white_images
from assignment.seeds import seed_pair

# STAGE_SPREAD: up to this standard deviation of the log-ratio, in nats, the two classes overlap well.
# STAGE_DRAWS: from either side of a stage's bridge for each nat of its spread, fewer of larger images than 28 × 28;
# se(c) ≈ √(nats / (2 · draws)).
# STRAIGHT_ERROR: the standard error of c by the straight way, in nats, for up to 28 × 28 pixels. It grows with D^(3/4),
# slower than log Z does: 28 × 28 pixels take seconds, and 256 × 256 a minute.
# PILOT: draws that measure a spread, fewer of large images (PILOT_PIXELS in all), but not below FEWEST_DRAWS.
STAGE_SPREAD = 1.5
STAGE_DRAWS, STRAIGHT_ERROR = 400, 0.04
PILOT, PILOT_PIXELS, FEWEST_DRAWS = 500, 2**22, 50
LONGEST_BRIDGE = 1000.0  # nats of spread: the draws for more would take for ever
MOST_BRIDGES = 1000
CHUNK_PIXELS = 4096 * 28**2  # of a bridge's draws held at once


class Bridge(NamedTuple):
    """NCE between two Gaussians.

    Attributes:
      difference: log Z_upper − log Z_lower; variance: of that.
      spread: of the log-ratio on the lower Gaussian, in nats.
      overlap: of the two; 1 where they cannot be told apart, 0 where they are perfectly separated.
    """

    difference: float
    variance: float
    spread: float
    overlap: float


def diagonal_log_partition(precision: LinearOperatorLattice) -> float:
    """log Z of a diagonal Λ, Σ_i ½ log(2π/Λ_ii); ValueError where Λ has couplings."""
    if np.any(precision.couplings):
        raise ValueError("telescoped NCE starts from a diagonal Λ, whose log Z is known; this layer has couplings")
    return float(np.sum(0.5 * np.log(2 * np.pi / precision.diag_part().numpy().astype(np.float64))))


def bridge(
    layer: StencilPrecision, lower: np.ndarray, upper: np.ndarray, seed: Sequence[int], count: int | None = None
) -> Bridge:
    """log Z_upper − log Z_lower by NCE with one free constant between exact samples of both Gaussians.

    Args:
      layer: says how θ makes Λ; its own θ is left alone.
      lower, upper: θ of the two Gaussians, [P].
      seed: a pair of integers.
      count: draws from either Gaussian; None for STAGE_DRAWS for each nat of spread, fewer of large images, but no
        fewer than measure a spread.

    Raises:
      ArithmeticError: the two are too far apart. ValueError: one of them is not positive definite.
    """
    pair("seed", seed)
    lower, upper = (array(name, t, layer.theta.shape) for name, t in (("lower", lower), ("upper", upper)))
    difference = (upper - lower).astype(np.float32)
    # Two fits with one seed have errors of their own: their draws depend on where the bridge leads, too.
    seeds = tf.random.split(tf.random.experimental.stateless_fold_in(seed, zlib.crc32(upper.tobytes()) >> 1), 3)
    below, above = (_sampler(layer, theta) for theta in (lower, upper))
    if count is None:
        spread = _spread(layer, above, difference, seeds[0])
        if not spread < LONGEST_BRIDGE:
            raise ArithmeticError(
                f"log Z cannot be bridged over {spread:.3g} nats of spread, more than {LONGEST_BRIDGE:g}: the learning "
                "rate is too high, or Λ too near to a singular one"
            )
        count = max(_pilot_size(layer), round(STAGE_DRAWS * min(1, 28**2 / layer.pixels) * spread))
    with ThreadPoolExecutor() as threads:  # Two at a time: neither keeps two cores busy.
        below, above = threads.map(lambda *side: _log_ratio(layer, *side, difference, count), (below, above), seeds[1:])
    constant = _free_constant(below, above)
    sure_below, sure_above = _sigmoid(below - constant), _sigmoid(constant - above)
    curvature = np.mean(sure_below * (1 - sure_below)) + np.mean(sure_above * (1 - sure_above))
    if not count * curvature > 1:  # About so many draws could be of either Gaussian.
        raise ArithmeticError(f"log Z cannot be bridged: none of {count} draws is of the one Gaussian and of the other")
    variance = (np.var(sure_below) + np.var(sure_above)) / (count * curvature**2)
    overlap = 1 - 0.5 * (np.mean(np.abs(2 * sure_below - 1)) + np.mean(np.abs(2 * sure_above - 1)))
    return Bridge(float(constant), float(variance), float(np.std(below)), float(overlap))


def log_partition_from_diagonal(layer: StencilPrecision, seed: int) -> tuple[float, float]:
    """The learned log Z of any fit: bridges along the straight way from its own diagonal.

    Every Λ on the way is positive definite, for the cone is convex. Each step is as long as the spread at both its ends
    allows; towards a nearly singular Λ they become shorter and shorter. The way is about a tenth longer than the
    shortest there is in the Fisher metric (maximum likelihood on MNIST, all four families).

    Returns:
      (log Z, its standard error).

    Raises:
      ArithmeticError: Λ is too far from its own diagonal.
    """
    whole("seed", seed)
    fitted, pixels = layer.theta.numpy().astype(np.float64), layer.group_sizes[0]
    start = np.concatenate([fitted[:pixels], np.zeros_like(fitted[pixels:])])
    along = fitted - start
    places, spreads = _places(layer, start, along, seed)
    error = STRAIGHT_ERROR * max(1, layer.pixels / 28**2) ** 0.75
    log_partition, variance = diagonal_log_partition(layer.operator(start)), 0.0
    for k, spread in enumerate(spreads):
        count = max(_pilot_size(layer), round(sum(spreads) * spread / (2 * error**2)))
        ends = (start + place * along for place in places[k : k + 2])
        link = bridge(layer, *ends, seed_pair(seed, "straight bridge", k), count)
        log_partition, variance = log_partition + link.difference, variance + link.variance
    return log_partition, variance**0.5


def _places(layer, start, along, seed):
    """Where the bridges of the straight way end, from 0 to 1, [n + 1], and the spread of each in nats, [n]."""

    places, spreads, numbers = [0.0], [], itertools.count()

    def slope(place):  # the spread of the log-ratio along the whole way, there
        sampler = _sampler(layer, start + place * along)
        return _spread(layer, sampler, along.astype(np.float32), seed_pair(seed, "pilot", next(numbers)))

    before = slope(0)
    while places[-1] < 1:
        if len(spreads) == MOST_BRIDGES:
            raise ArithmeticError(
                f"log Z is out of reach of {MOST_BRIDGES} bridges: Λ is too far from its own diagonal"
            )
        left = 1 - places[-1]
        step = left if before * left <= STAGE_SPREAD else STAGE_SPREAD / before
        while (after := slope(places[-1] + step)) * step > 2 * STAGE_SPREAD:
            step /= 2
        places.append(1.0 if step == left else places[-1] + step)
        spreads.append((before + after) / 2 * step)
        before = after
    return places, spreads


def _spread(layer, factor, difference, seed):
    """Standard deviation of ½ xᵀ(∂Λ)x over a few draws by a factor of Σ, in nats."""
    return float(np.std(_log_ratio(layer, factor, seed, difference, _pilot_size(layer))))


def _pilot_size(layer):
    return max(FEWEST_DRAWS, min(PILOT, PILOT_PIXELS // layer.pixels))


def _sampler(layer, theta):
    """A float32 factor of Σ(θ); ValueError where Λ(θ) is not positive definite."""
    factor = float32_sampler(layer, theta)
    if not all(np.isfinite(part).all() for part in tf.nest.flatten(factor)):
        raise ValueError("Λ must be positive definite; these weights, theta, give a matrix that is not")
    return factor


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


def _log_ratio(layer, factor, seed, difference, count):
    """f_upper − f_lower on `count` exact draws by a factor of Σ, float64 [count]."""
    chunk = max(1, CHUNK_PIXELS // layer.pixels)
    seeds = tf.random.split(tf.constant(seed), -(-count // chunk))
    operator = layer.operator(difference)
    draws = [
        # The size as a tensor, the layer as its operator: a Python number or object would be traced anew each time.
        _log_ratio_of_draws(operator, factor, tf.constant(min(chunk, count - k * chunk)), seeds[k])
        for k in range(len(seeds))
    ]
    return np.concatenate(draws).astype(np.float64)


@tf.function(autograph=False)
def _log_ratio_of_draws(operator, factor, count, seed):
    return -0.5 * operator.quadratic_form(factor.colour(white_images(count, operator, seed)))
