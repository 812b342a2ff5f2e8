"""Telescoped NCE: the noise starts as a diagonal Gaussian and moves with the fit, and the constants add up.

The noise is always a Gaussian that was fitted a little earlier, and is sampled exactly. Where data and noise cannot be
told apart any more, E_data[s] = E_θ[s]: that is maximum likelihood (Goodfellow 2014, self-contrastive estimation).

Training passes through stages p_0, p_1, …, p_T. A stage ends when the log-ratio between the fit and the stage's start
has a standard deviation (spread) of STAGE_SPREAD nats over that start: the classes then still overlap well. log Z_0 of
the diagonal Gaussian is known, and log Z_{t+1} − log Z_t is bridged, see `bridges` (Rhodes et al. 2020). A second,
shorter way to log Z of the fit goes straight from its own diagonal: c is the mean of both, weighted by their inverse
variances. No determinant of Λ enters c. Only whether the fit settles once more is judged by the exact likelihood.
"""

import math
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from assignment.checks import positive, whole
from assignment.fits.bridges import STAGE_SPREAD, Bridge, bridge, known_log_partition, log_partition_from_diagonal
from assignment.fits.maximum_likelihood import likelihood_result
from assignment.fits.result import FitResult
from assignment.fits.start import begin, restored_on_error
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.nce import check_noise_count
from assignment.objectives.telescoped_nce import MovingNoise, TelescopedNCE
from assignment.seeds import seed_pair
from assignment.training.loop import REACH, Callback, Progress, checked_batch_size, learning_rate, train
from assignment.training.step import Step

# NOISE_SPREAD: within a stage the noise moves to the fit when their log-ratio spreads by so many nats.
# LAST_REACH, LAST_STEP: once the fit has arrived, the longest step is LAST_REACH nats of spread or, if larger,
# LAST_STEP·√P, but shorter than before.
# TOLERANCE, SHARE: the final average is over so many noise images M that their error, P/2M nats, is below TOLERANCE,
# or below this share of what the sampling of the images costs, P/2N. What is left of the way to the fit adds to that:
# a fit that is then above both TOLERANCE and P/2N settles once more, ROUNDS times in all.
# FEWEST_PASSES: test images unlike the training images show errors of Λ to first order.
# SMALLEST_BATCH: images in a minibatch, where there are so many: steps by one or two images go astray.
# FEWEST_SEEN: few images are passed over more often, until so many have been seen.
NOISE_SPREAD = 0.05
LAST_REACH, LAST_STEP = 0.4, 0.01
TOLERANCE, SHARE, FEWEST_PASSES = 0.01, 0.1, 4
SMALLEST_BATCH, FEWEST_SEEN = 20, 4000
MAX_STEPS = 20_000
ROUNDS = 6


class Stages(Callback):
    """Moves the noise with the fit, ends stages by bridges, and averages θ over the last steps.

    Args:
      averaged_steps: how many steps the fit is averaged over, once it has settled.
    """

    def __init__(self, step: Step, optimizer: Any, averaged_steps: int, seed: int) -> None:
        super().__init__(step, optimizer, MAX_STEPS)
        self.layer, self.objective, self.noise = step.layer, step.objective, step.objective.noise
        self.averaged_steps, self.seed = averaged_steps, seed
        self.last_reach = min(0.99 * REACH, max(LAST_REACH, LAST_STEP * math.sqrt(step.phi.shape[0])))
        self.thetas, self.steps_done = [self.layer.theta.numpy()], [0]
        self.log_partitions, self.variances = [float(self.objective.log_partition)], [0.0]
        self.bridges: list[Bridge] = []
        self.extra = []
        self.begin_again()

    def lengths(self, k: int) -> tuple[float, float]:
        return self.reach, learning_rate(self.optimizer, len(self.noise_phi), self.rate_reach)

    def after(self, k: int, theta: np.ndarray, extra: np.ndarray) -> bool:
        self.extra.append(extra[0])
        if self.reach > self.last_reach:
            self._shorten()
        elif self.discard:
            self.discard -= 1
        else:
            self.total, self.averaged = self.total + theta.astype(np.float64), self.averaged + 1
        if self.averaged < self.averaged_steps:
            self._move_noise()
        return self.averaged == self.averaged_steps

    def words(self, loss: float) -> str:
        return f"stage {len(self.thetas)}  spread {self.step.spread():.2f} nats  loss {loss:.3f}"

    def _shorten(self):
        """Halves the longest step when the loss rises along the last move (Kesten 1958)."""
        if self.step.slope > 0:
            self.reach /= 2
            if self.reach <= self.last_reach:
                # Adam's second moments are those of the large early gradients: its steps would be tiny. At the early
                # rate the average over its steps is biased, by 0.6 of its standard error with 274 weights.
                self.reach = self.rate_reach = self.last_reach
                self.step.forget()

    def _move_noise(self):
        ends = self.step.spread() > STAGE_SPREAD
        if ends:
            self.end_stage()
        if ends or np.linalg.norm(self.step.phi - self.noise_phi) > NOISE_SPREAD:
            self.noise.move(self.objective.log_partition)
            self.noise_phi = self.step.phi.numpy()

    def end_stage(self) -> None:
        """Makes the present Gaussian the next stage, with its log Z bridged from the last one."""
        theta = self.layer.theta.numpy()
        link = bridge(self.layer, self.thetas[-1], theta, seed_pair(self.seed, "bridge", len(self.thetas)))
        self.bridges.append(link)
        self.thetas.append(theta)
        self.steps_done.append(len(self.extra))
        self.log_partitions.append(self.log_partitions[-1] + link.difference)
        self.variances.append(self.variances[-1] + link.variance)
        self.objective.log_partition.assign(self.log_partitions[-1])
        self.step.centre()

    def begin_again(self) -> None:
        """Lets the fit settle from the last stage on."""
        self.reach = self.rate_reach = REACH
        self.total, self.averaged = np.zeros(self.step.phi.shape[0]), 0
        self.discard = max(self.averaged_steps // 2, 30)
        self.noise.move(self.objective.log_partition)
        self.noise_phi = np.zeros_like(self.total)

    def constant(self) -> tuple[float, float]:
        """(c, its standard error): the constant of the last stage and that of the straight way, averaged."""
        straight, error = log_partition_from_diagonal(self.layer, self.seed)
        weight = self.variances[-1] / (self.variances[-1] + error**2)
        return weight * straight + (1 - weight) * self.log_partitions[-1], weight**0.5 * error

    def history(self) -> dict[str, np.ndarray]:
        """The stages as arrays; the last one is the fit."""
        return {
            "log_partition": np.array(self.extra),
            "stage_step": np.array(self.steps_done),
            "stage_theta": np.array(self.thetas),
            "stage_log_partition": np.array(self.log_partitions),
            "stage_standard_error": np.sqrt(self.variances),
            "stage_spread": np.array([link.spread for link in self.bridges]),
            "stage_overlap": np.array([link.overlap for link in self.bridges]),
        }


def fit_telescoped_nce(
    layer: StencilPrecision,
    images: Any,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    *,
    noise_ratio: float = 1.0,
    passes: int | None = None,
    batch_size: int = 1024,
    seed: int = 0,
    progress: Progress | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> FitResult:
    """Fits Λ and log Z by telescoped NCE.

    Args:
      layer: a built `StencilPrecision`; its weights are the start, which is diagonal, and after the call the fit.
      images: [N, H, W], mean subtracted, or what `load_images` returned.
      optimizer: "sgd", "rmsprop", "adam" or a Keras optimizer.
      noise_ratio: ν.
      passes: through the data, averaged over at the end; None for as many as the number of weights and images asks.
      batch_size: B, made smaller where a pass would have fewer than 50 minibatches; seed: decides all that is drawn.
      progress: called as progress(step, None, words) after every step.
      strategy: a `tf.distribute.Strategy` whose replicas share each minibatch.

    Returns:
      A FitResult. `history` has `loss` and `log_partition` by step, `halvings`, `passes`, and of the stages
      `stage_theta` [T + 1, P]; `stage_step`, `stage_log_partition` (the sum of the bridges, not c) and
      `stage_standard_error` [T + 1]; `stage_spread` and `stage_overlap` [T]. The last stage is the fit.

    Raises:
      ValueError, TypeError: bad arguments, such as a start that is not diagonal. ArithmeticError: the fit failed or did
        not settle. UserError: another worker was lost.
    """
    with restored_on_error(layer):
        images, moments = begin(layer, images, seed)
        batch_size = checked_batch_size(batch_size, images, min(50, max(1, len(images) // SMALLEST_BATCH)))
        check_noise_count(positive("noise_ratio", noise_ratio), batch_size, layer.pixels)
        if passes is None:
            enough = max(FEWEST_PASSES, min(layer.theta.shape[0] / (2 * TOLERANCE * len(images)), 1 / SHARE))
            passes = math.ceil(max(enough / noise_ratio, FEWEST_SEEN / len(images)))
        averaged_steps = whole("passes", passes, least=1) * (len(images) // batch_size)
        if averaged_steps > MAX_STEPS:
            raise ValueError(
                f"passes must be fewer: {passes} of them are {averaged_steps} steps, of {MAX_STEPS} in all"
            )
        cost_of_sampling = layer.theta.shape[0] / (2 * len(images))
        objective = TelescopedNCE(MovingNoise(layer, known_log_partition(layer)), noise_ratio)
        step = Step(layer, objective, optimizer, strategy)
        stages = Stages(step, optimizer, averaged_steps, seed)
        losses = np.zeros(0)
        for _ in range(ROUNDS):
            steps, first = MAX_STEPS - len(losses), len(losses)
            found = train(
                step, images, stages, steps=steps, batch_size=batch_size, seed=seed, first=first, progress=progress
            )
            losses = np.concatenate([losses, found])
            if stages.averaged < averaged_steps:
                raise ArithmeticError(f"telescoped NCE did not settle in {MAX_STEPS} steps")
            layer.assign_theta(stages.total / averaged_steps)
            stages.end_stage()
            history = {"loss": losses, "halvings": step.halvings.numpy(), "passes": np.array(passes)} | stages.history()
            result = likelihood_result(layer, moments, len(images), history)
            left = result.suboptimality
            if left is None or left <= max(TOLERANCE, cost_of_sampling) or len(losses) > MAX_STEPS / 2:
                break
            stages.begin_again()
        constant, error = stages.constant()
        return replace(result, log_partition=constant, standard_error=error)
