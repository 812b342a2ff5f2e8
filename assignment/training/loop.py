"""The one loop: minibatch after minibatch through a step, and what a fit does between its steps."""

import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from assignment.checks import whole
from assignment.data.minibatches import minibatches
from assignment.errors import UserError
from assignment.seeds import seed_pair
from assignment.training.step import Step

REACH = 0.75  # the longest step, in nats: the standard deviation of the log-ratio between after and before
Progress = Callable[[int, int | None, str], None]


class Callback:
    """What a fit does between the steps. This one does nothing, and its steps shrink linearly to nothing.

    Args:
      step: the `Step` that is called; steps: how many there will be.
      together: how many steps are made between two looks at the fit, see `Step.run`.
    """

    def __init__(self, step: Step, steps: int, together: int = 1) -> None:
        self.step, self.steps, self.together = step, steps, together

    def before(self, k: int, x: np.ndarray) -> None:
        """Called before the first of every `together` steps, number k, with its minibatch [B, H, W]."""

    def lengths(self, k: int) -> tuple[float, float]:
        """(the longest that step k may be, in nats of spread; its learning rate)."""
        left = 1 - k / self.steps  # Robbins & Monro 1951
        return REACH * left, learning_rate(self.step) * left

    def after(self, k: int, theta: np.ndarray, extra: np.ndarray) -> bool:
        """Called after step number k, with θ [P] and the objective's own unknowns; True ends the fit."""
        return False

    def words(self, loss: float) -> str:
        """What the progress says."""
        return f"loss {loss:.4g}"


def train(
    step: Step,
    images: np.ndarray,
    callback: Callback,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    first: int = 0,
    progress: Progress | None = None,
    announced: int | None = None,
) -> np.ndarray:
    """Calls the step on minibatches of images [N, H, W], at most `steps` times; returns the loss before each.

    Args:
      first: how many steps were made before, so that the same draws do not come again.
      announced: how many steps the progress says there are; None where that is not known beforehand.

    Raises:
      ValueError: a minibatch has fewer images than there are replicas. ArithmeticError: the loss or its gradient is not
        finite. UserError: another worker was lost.
    """
    replicas = step.strategy.num_replicas_in_sync if step.strategy else 1
    if batch_size < replicas:
        raise ValueError(f"batch_size must be at least the number of replicas, {replicas}, not {batch_size}")
    losses, ended = [], False
    batches = minibatches(images, batch_size, [seed, first])
    while len(losses) < steps and not ended:
        done = len(losses)
        # Always as many, so that one trace serves; those beyond the last are not used.
        ahead = range(done, done + callback.together)
        x = np.stack([next(batches) for _ in ahead])
        callback.before(done, x[0])
        reaches, rates = zip(*(callback.lengths(min(k, steps)) for k in ahead), strict=True)
        seeds = [seed_pair(seed, "step", first + k) for k in ahead]
        count = tf.constant(min(len(ahead), steps - done))
        lengths = (tf.constant(values, tf.float32) for values in (reaches, rates))
        try:
            found, theta, extra = map(np.asarray, step.run(tf.constant(x), tf.constant(seeds), *lengths, count))
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
            raise UserError("another worker died or left before the fit was done; start all workers again") from error
        if not np.all(np.isfinite(found)):
            raise ArithmeticError("training failed: the loss or its gradient is no longer finite")
        losses += found.tolist()
        ended = any([callback.after(*after) for after in zip(ahead, theta, extra, strict=False)])
        if progress:
            progress(first + len(losses), announced, callback.words(losses[-1]))
    return np.array(losses)


def checked_batch_size(batch_size: int, images: np.ndarray, fewest_batches: int, smallest: int = 1) -> int:
    """The batch size, made smaller where a pass would have fewer minibatches, but then not below `smallest` images."""
    batches = min(fewest_batches, max(1, len(images) // smallest))
    return min(whole("batch_size", batch_size, least=1), len(images) // batches)


def learning_rate(step: Step, curvature: float = 2.5) -> float:
    """A rate that suits a step's whitened coordinates; an optimizer that was given as an instance has its own.

    RMSProp and Adam make steps of about the same length in every coordinate: REACH/√P. The rate of SGD is the inverse
    of the curvature, about the largest eigenvalue of the loss's Hessian; one up to twice as large is stable. The
    Hessian of NCE is ν/(1 + ν) times W F Wᵀ where the noise is the fit, so that its eigenvalues are at most about 5.
    """
    is_sgd = isinstance(step.optimizer, keras.optimizers.SGD)
    return 1 / curvature if is_sgd else REACH / math.sqrt(step.phi.shape[0])
