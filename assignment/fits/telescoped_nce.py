"""Telescoped NCE: the noise starts as a diagonal Gaussian and moves with the fit, and the constants add up.

The noise is always a Gaussian that was fitted a little earlier, and is sampled exactly. Where data and noise cannot be
told apart any more, E_data[s] = E_θ[s]: that is maximum likelihood (Goodfellow 2014, self-contrastive estimation).

Training passes through stages p_0, p_1, …, p_T. A stage ends when the log-ratio between the fit and the stage's start
has a standard deviation (spread) of STAGE_SPREAD nats over that start: the classes then still overlap well. log Z_0 of
the diagonal Gaussian is known, and log Z_{t+1} − log Z_t is bridged, see `bridges` (Rhodes et al. 2020). A second,
shorter way to log Z of the fit goes straight from its own diagonal: c is the mean of both, weighted by their inverse
variances. No determinant of Λ enters c. The exact likelihood decides only whether one more natural step is made.

Once the optimizer's steps lead no further, the last stages are natural gradient steps (Amari 1998): F⁻¹ times NCE's
gradient with the noise at the fit, averaged over some minibatches, then over more, at last over whole passes. Near the
optimum one is as good as any number of small steps (the one-step estimator: van der Vaart, Asymptotic Statistics,
section 5.7).
"""

import math
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from assignment.checks import positive, whole
from assignment.fits.bridges import STAGE_SPREAD, Bridge, bridge, diagonal_log_partition, log_partition_from_diagonal
from assignment.fits.maximum_likelihood import likelihood_result, natural_gradient
from assignment.fits.result import FitResult
from assignment.fits.start import begin
from assignment.lattice.information import double
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.nce import check_noise_count
from assignment.objectives.telescoped_nce import MovingNoise, TelescopedNCE
from assignment.seeds import seed_pair
from assignment.training.loop import REACH, Callback, Progress, checked_batch_size, learning_rate, train
from assignment.training.step import Step

# NOISE_SPREAD: within a stage the noise moves to the fit when their log-ratio spreads by so many nats.
# TOLERANCE, SHARE: the last step's gradient is averaged over so many noise images M that their error, P/2M nats, is
# below TOLERANCE (of MNIST's per-edge fits: 2 passes with 4 neighbours, 3 with 8), or below this share of what the
# sampling of the images costs, P/2N. What is left of the way to the fit adds to that: a fit that is then above both
# TOLERANCE and P/2N makes one more such step, or a few.
# FEWEST_PASSES: of that average, in noise images over N; on test images of another kind an error of Λ costs in
# proportion to itself, not to its square.
# SHARES: what part of `passes` the gradient of the first, second, … natural step sees, but enough images for a spread
# by noise of ½ nat, or FEWEST_SEEN; the last serves all further ones. A step that is not small does not count.
# MOST_NATURAL: steps in all.
# SMALLEST_BATCH: images in a minibatch, where there are so many: steps by one or two images go astray.
# FEWEST_SEEN: few images are passed over more often, until so many have been seen.
NOISE_SPREAD = 0.5
TOLERANCE, SHARE, FEWEST_PASSES = 0.0105, 0.1, 2
SHARES, MOST_NATURAL = (1 / 16, 1 / 4, 1), 40
SMALLEST_BATCH, FEWEST_SEEN = 20, 4000
MAX_STEPS = 20_000


class Stages(Callback):
    """Moves the noise with the fit and ends stages by bridges, until the steps lead no further."""

    def __init__(self, step: Step, seed: int) -> None:
        super().__init__(step, MAX_STEPS)
        self.layer, self.objective, self.noise, self.seed = step.layer, step.objective, step.objective.noise, seed
        self.thetas, self.steps_done = [self.layer.theta.numpy()], [0]
        self.log_partitions, self.variances = [float(self.objective.log_partition)], [0.0]
        self.bridges: list[Bridge] = []
        self.extra, self.arrived = [], False
        self._move_noise()

    def lengths(self, k: int) -> tuple[float, float]:
        return REACH, learning_rate(self.step)

    def after(self, k: int, theta: np.ndarray, extra: np.ndarray) -> bool:
        self.extra.append(extra[0])
        self.arrived = bool(self.step.slope > 0)  # Fresh images speak against the last move (Kesten 1958).
        if self.step.spread() > STAGE_SPREAD:
            self.end_stage()
        elif np.linalg.norm(self.step.phi - self.noise_phi) > NOISE_SPREAD:
            self._move_noise()
        return self.arrived

    def words(self, loss: float) -> str:
        return f"stage {len(self.thetas)}  spread {self.step.spread():.2f} nats  loss {loss:.3f}"

    def _move_noise(self):
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
        self._move_noise()

    def natural_step(self, gradient: np.ndarray, seen: int) -> bool:
        """A stage of one step from the last stage, the origin of the step's coordinates.

        It is no longer than twice STAGE_SPREAD, so that it can be bridged. A step Δ in Λ that is still too long is
        halved, until all eigenvalues of Σ^½ΔΣ^½ are between −1, the border of the cone, and 2; Σ is the last stage's.

        Args:
          gradient: the mean of that of the loss −J where the last stage is, in the step's coordinates, [P].
          seen: the number of images that it is the mean of.

        Returns:
          Whether the step was small, so that what is left is of the order of its square: no eigenvalue above 0.8, and
          not longer than may be, or than twice what the sampling of images and noise makes it.
        """
        layer, theta, ratio = self.layer, double(self.layer), self.objective.noise_ratio
        whitening = self.step.whitening
        # Where the classes are alike, NCE's Hessian is F·ν/(1 + ν).
        right = -(1 + ratio) / ratio * gradient
        change, spread = natural_gradient(layer, theta, whitening.moments, whitening.current, right)
        by_sampling = math.sqrt(len(theta) * (1 + 1 / ratio) / seen)
        change *= min(1, 2 * STAGE_SPREAD / max(spread, STAGE_SPREAD))

        def inside(length):
            return bool(layer.operator(np.float32(theta + length * change)).positive_definite())

        small = spread <= 2 * max(STAGE_SPREAD, by_sampling) and inside(1) and inside(-1.25)
        while not (inside(1) and inside(-0.5)):
            change = change / 2
        layer.assign_theta(theta + change)
        self.end_stage()
        return small

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


class MeanGradient(Callback):
    """Averages the gradient in the step's coordinates, `total` / `steps`: all steps have the length 0."""

    def __init__(self, stages: Stages, steps: int) -> None:
        super().__init__(stages.step, steps)
        self.extra, self.total, self.seen = stages.extra, 0.0, 0

    def lengths(self, k: int) -> tuple[float, float]:
        return 0.0, 0.0

    def after(self, k: int, theta: np.ndarray, extra: np.ndarray) -> bool:
        self.extra.append(extra[0])
        self.total, self.seen = self.total + self.step.gradient.numpy().astype(np.float64), k + 1
        return False

    def words(self, loss: float) -> str:
        return f"mean gradient of {self.seen} of {self.steps} minibatches  loss {loss:.3f}"


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
      passes: through the data, over which at least the last step's gradient is averaged, and shares of them for the
        natural steps before; None for as many as the number of weights and images asks.
      batch_size: B, made smaller where a pass would have fewer than 50 minibatches; seed: decides all that is drawn.
      progress: called as progress(step, None, words) after every step.
      strategy: a `tf.distribute.Strategy` whose replicas share each minibatch.

    Returns:
      A FitResult. `history` has `loss` and `log_partition` by step, `halvings`, `passes`, and of the stages
      `stage_theta` [T + 1, P]; `stage_step`, `stage_log_partition` (the sum of the bridges, not c) and
      `stage_standard_error` [T + 1]; `stage_spread` and `stage_overlap` [T]. The last stage is the fit.

    Raises:
      ValueError, TypeError: bad arguments, such as a start that is not diagonal. ArithmeticError: the fit failed, or
        the optimizer did not arrive. UserError: another worker was lost.
    """
    with begin(layer, images, seed) as (images, moments):
        batch_size = checked_batch_size(batch_size, images, 50, SMALLEST_BATCH)
        check_noise_count(positive("noise_ratio", noise_ratio), batch_size, layer.pixels)
        if passes is None:
            wanted = max(FEWEST_PASSES, min(layer.theta.shape[0] / (2 * TOLERANCE * len(images)), 1 / SHARE))
            passes = math.ceil(max(wanted / noise_ratio, FEWEST_SEEN / len(images)))
        averaged = whole("passes", passes, least=1) * (len(images) // batch_size)
        if averaged > MAX_STEPS:
            raise ValueError(f"passes must be fewer: {passes} of them are {averaged} steps, more than {MAX_STEPS}")
        bound = max(TOLERANCE, layer.theta.shape[0] / (2 * len(images)))
        objective = TelescopedNCE(MovingNoise(layer, diagonal_log_partition(layer.operator())), noise_ratio)
        step = Step(layer, objective, optimizer, strategy)
        stages = Stages(step, seed)
        options = dict(batch_size=batch_size, seed=seed, progress=progress)
        losses = train(step, images, stages, steps=MAX_STEPS, **options)
        if not stages.arrived:
            raise ArithmeticError(f"telescoped NCE: the optimizer did not arrive in {MAX_STEPS} steps")
        stages.end_stage()
        enough = math.ceil(min(4 * layer.theta.shape[0] * (1 + 1 / noise_ratio), FEWEST_SEEN) / batch_size)
        small_steps = 0
        for k in range(MOST_NATURAL):
            share = SHARES[min(small_steps, len(SHARES) - 1)]
            mean = MeanGradient(stages, max(enough, round(share * averaged)))
            found = train(step, images, mean, steps=mean.steps, first=len(losses), **options)
            losses = np.concatenate([losses, found])
            small_steps += stages.natural_step(mean.total / mean.steps, mean.steps * batch_size)
            if small_steps < len(SHARES) and k + 1 < MOST_NATURAL:
                continue
            history = {"loss": losses, "halvings": step.halvings.numpy(), "passes": np.array(passes)} | stages.history()
            result = likelihood_result(layer, moments, len(images), history)
            near = result.suboptimality is None or result.suboptimality <= bound
            if near or small_steps >= 2 * len(SHARES) or len(losses) > MAX_STEPS:
                break
        constant, error = stages.constant()
        return replace(result, log_partition=constant, standard_error=error)
