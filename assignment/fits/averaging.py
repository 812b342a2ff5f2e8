"""What conditional NCE and score matching share: the present fit renews the objective, and the steps are averaged."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from assignment.checks import whole
from assignment.fits.maximum_likelihood import likelihood_result
from assignment.fits.pursued import PlainOptimum
from assignment.fits.result import NOT_CONVERGED, FitResult
from assignment.training.loop import REACH, Callback, Progress, checked_batch_size, falling, learning_rate, train
from assignment.training.step import Step

WHITEN_AFTER = 2.0  # New coordinates, whitened by the present fit, after so many nats of spread.
MOST_STEPS = 5000  # until the fit must have arrived
# So many steps in a row that had to be halved: the fit has come to the border of the cone; it will stay there.
AT_BORDER, PRESSED = 10, 30
ROUNDS = 3  # of averaged steps, while the fit is not converged
FEWEST_BATCHES = 8  # in a pass
SGD_SHARE = 0.2  # SGD's step as a share of Newton's.

Renew = Callable[[int, np.ndarray], float]


class Averaging(Callback):
    """Steps of full length until the fit arrives, then shrinking ones, of which the last two thirds are averaged.

    The average of the iterates is that of Polyak & Juditsky (1992). The fit arrives where fresh images speak against
    the move before them for the first time, at the border of the cone, or after MOST_STEPS. A fit that stays at the
    border ends.

    Args:
      renew: renew(k, x) lets the objective follow the fit, before step k on images x [B, H, W], and returns the
        curvature of its loss: about the largest eigenvalue of its Hessian in whitened coordinates.
    """

    def __init__(self, step: Step, optimizer: Any, steps: int, renew: Renew) -> None:
        super().__init__(step, optimizer, steps)
        self.renew, self.curvature = renew, 1.0
        self.total, self.averaged, self.arrived = 0.0, 0, None
        self.halvings = self.pressed = 0

    def before(self, k: int, x: np.ndarray) -> None:
        arrives = self.arrived is None and (self.step.slope > 0 or self.pressed > AT_BORDER or k == MOST_STEPS)
        moved = self.step.spread() > WHITEN_AFTER
        if arrives:
            self.arrived = k
        if moved:
            self.step.centre()
        if moved or arrives:
            self.step.forget()  # Adam would go on dividing by the large gradients from before, and hardly move.
        self.curvature = self.renew(k, x)

    def lengths(self, k: int) -> tuple[float, float]:
        left = 1.0 if self.arrived is None else falling(k - self.arrived, self.steps)
        rate = learning_rate(self.optimizer, self.step.phi.shape[0], self.curvature / SGD_SHARE)
        return REACH * left, rate * left

    def after(self, k: int, theta: np.ndarray, extra: np.ndarray) -> bool:
        before, self.halvings = self.halvings, int(self.step.halvings)
        self.pressed = self.pressed + 1 if self.halvings > before else 0
        since = -1 if self.arrived is None else k - self.arrived
        if since >= self.steps // 3:
            self.total, self.averaged = self.total + theta.astype(np.float64), self.averaged + 1
        return since + 1 == self.steps or self.pressed == PRESSED

    def end(self) -> None:
        """Leaves the layer at the average; at the last step where the fit has ended on the border."""
        if self.pressed == PRESSED:
            return
        # The cone is convex, but on its border rounding to float32 can leave it; the last step then stands.
        with suppress(ValueError):
            self.step.layer.assign_theta(self.total / self.averaged)


def fit_by_averaging(
    step: Step,
    optimizer: Any,
    images: np.ndarray,
    moments: np.ndarray,
    renew: Renew,
    optimum: PlainOptimum | None,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    progress: Progress | None,
) -> FitResult:
    """Averaged steps, again from where they ended while the fit is not converged, at most ROUNDS times.

    Args:
      moments: the images' average moments, [P].
      optimum: what the fit pursues; None where that is maximum likelihood.
      steps: how many, once the fit has arrived; batch_size: B, smaller where there are few images.
      The others are those of `Averaging` and `train`.
    """
    steps, batch_size = whole("steps", steps, least=4), checked_batch_size(batch_size, images, FEWEST_BATCHES)
    losses = []
    for _ in range(ROUNDS):
        done = len(losses)
        averaging = Averaging(step, optimizer, steps, lambda k, x, done=done: renew(done + k, x))
        losses += train(
            step, images, averaging, steps=MOST_STEPS + steps, batch_size=batch_size, seed=seed, first=done,
            progress=progress,
        ).tolist()  # fmt: skip
        averaging.end()
        history = {"loss": np.array(losses), "halvings": step.halvings.numpy()}
        if optimum:
            ended = optimum.result(step.objective, history)
        else:
            ended = likelihood_result(step.layer, moments, len(images), history)
        if not ended.status.startswith(NOT_CONVERGED):
            break
        step.centre()
        step.forget()
    return ended
