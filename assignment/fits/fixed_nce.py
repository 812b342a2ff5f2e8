"""The general fit of any objective, and NCE against a fixed noise (exercise, Steps 0 to 4)."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from assignment.checks import whole
from assignment.fits.maximum_likelihood import likelihood_result
from assignment.fits.result import FitResult
from assignment.fits.start import begin
from assignment.lattice.gaussian import LatticeGaussian, as_gaussian
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.nce import NCE, diagonal_noise
from assignment.seeds import seed_pair
from assignment.training.loop import Callback, Progress, checked_batch_size, train
from assignment.training.step import Step

# The most steps in one call of a graph, and the most bytes that their images take.
TOGETHER, TOGETHER_BYTES = 16, 2**25
# A fit ends when so many steps in a row were given up at the border of the cone.
STALLED = 30
# Where no number of passes is given there are as many as make so many steps, or see so many pixels, but at least 3.
STEPS, SEEN_PIXELS = 1500, 180_000 * 28**2
SNAPSHOTS = 40  # of the weights on the way
SMALLEST_BATCH = 40  # where there are so many images: fits by steps of a few images end far from NCE's own optimum


class Snapshots(Callback):
    """Keeps c after every step, and θ after about SNAPSHOTS of them."""

    def __init__(self, step: Step, steps: int, together: int) -> None:
        super().__init__(step, steps, together)
        self.every = max(1, steps // SNAPSHOTS)
        self.snapshots, self.snapshot_steps, self.extra = [], [], []

    def after(self, k: int, theta: np.ndarray, extra: np.ndarray) -> bool:
        self.extra.append(extra)
        if k == 0 or (k + 1) % self.every == 0:
            self.snapshot_steps.append(k + 1)
            self.snapshots.append(theta)
        return int(self.step.stalled) >= STALLED

    def words(self, loss: float) -> str:
        return super().words(loss) + "".join(f"  c {value:.1f}" for value in self.extra[-1])


def fit(
    model: LatticeGaussian | StencilPrecision,
    objective: Any,
    images: Any,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    *,
    epochs: int | None = None,
    batch_size: int = 512,
    seed: int = 0,
    progress: Progress | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> FitResult:
    """Trains a model by any objective with GradientTape and a Keras optimizer.

    The weights are whitened by the Gaussian of the start, and the steps shrink linearly to nothing over the run. A
    fit that is stuck at the border of positive definiteness ends, and its status says so.

    Args:
      model: a `StencilPrecision`, or a `LatticeGaussian` of one; its weights are the start, and after the call the fit.
      objective: an object with `loss(model, x, seed)` and `trainable_variables`: none, or its learned log Z.
      images: [N, H, W], mean subtracted, or what `load_images` returned.
      optimizer: "sgd", "rmsprop", "adam" or a Keras optimizer.
      epochs: passes over the images; None for 3, and more of few or small images. batch_size: B, at most N.
      seed: decides all that is drawn.
      progress: called as progress(step, steps, words) every few steps.
      strategy: a `tf.distribute.Strategy` whose replicas share each minibatch.

    Returns:
      A FitResult; its suboptimality is measured against maximum likelihood, whatever the objective. `history` has
      `loss` before each step, `log_partition` after it where the objective learns one, `halvings`, and θ after some
      steps, `snapshot_theta` [S, P], with their numbers, `snapshot_step` [S].

    Raises:
      ValueError, TypeError: bad arguments. ArithmeticError: the loss or its gradient was not finite. UserError: another
        worker was lost.
    """
    model = as_gaussian(model)
    location = getattr(model, "location", None)
    mean = 0.0 if location is None else location.numpy()
    with begin(getattr(model, "precision", model), images, seed, mean) as (images, moments):
        batch_size = checked_batch_size(batch_size, images, 1)
        if epochs is None:
            epochs = max(3, min(STEPS * batch_size, SEEN_PIXELS // images[0].size) // len(images))
        steps = whole("epochs", epochs, least=1) * (len(images) // batch_size)
        step = Step(model, objective, optimizer, strategy)
        # Called once outside the graph, where its errors are readable.
        with tf.GradientTape() as tape:
            loss = tf.convert_to_tensor(objective.loss(model, images[:batch_size], seed_pair(seed, "pilot")))
        if loss.shape.rank or tape.gradient(loss, step.theta) is None:
            raise ValueError("objective.loss must return a scalar tensor that depends on the model's weights")
        together = max(1, min(TOGETHER, steps, TOGETHER_BYTES // (images[0].nbytes * batch_size)))
        callback = Snapshots(step, steps, together)
        losses = train(
            step, images, callback, steps=steps, batch_size=batch_size, seed=seed, progress=progress, announced=steps
        )
        history = {
            "loss": losses,
            "halvings": step.halvings.numpy(),
            "snapshot_step": np.array(callback.snapshot_steps),
            "snapshot_theta": np.array(callback.snapshots),
        }
        constant = None
        if step.extra:
            history["log_partition"] = np.array(callback.extra)[:, 0]
            constant = float(history["log_partition"][-1])
        result = likelihood_result(step.layer, moments, len(images), history, constant)
        ended = "" if step.stalled < STALLED else "; ended on the border of positive definiteness"
        return replace(result, model=model, status=result.status + ended)


def fit_nce(
    layer: StencilPrecision,
    images: Any,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    *,
    noise: Any = None,
    noise_ratio: float = 1.0,
    epochs: int | None = None,
    batch_size: int = 512,
    seed: int = 0,
    progress: Progress | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> FitResult:
    """Fits Λ and log Z by NCE against a fixed noise.

    With independent noise the classes separate perfectly where there are many pixels, and there is nothing to learn.
    Of few pixels NCE's own optimum, too, is not that of maximum likelihood: its error is larger, and images that are
    not Gaussian draw it elsewhere. `status` and `suboptimality` say how far the fit is below maximum likelihood.
    `fit_telescoped_nce` is the one that gets there.

    Args:
      layer: a built `StencilPrecision`; its weights are the start, and after the call the fit.
      noise: p_n on [H, W]; None for the diagonal Gaussian with the images' variances.
      noise_ratio: ν.
      batch_size: B, made smaller where a pass would have fewer than 50 minibatches, but not below 40 images.
      The others are those of `fit`, as is what is returned; c starts at log Z of the start.
    """
    with begin(layer, images, seed) as (images, _):
        batch_size = checked_batch_size(batch_size, images, 50, SMALLEST_BATCH)
        start = float(LatticeGaussian(layer).log_partition())
        objective = NCE(diagonal_noise(images) if noise is None else noise, noise_ratio, start)
        return fit(
            layer, objective, images, optimizer,
            epochs=epochs, batch_size=batch_size, seed=seed, progress=progress, strategy=strategy,
        )  # fmt: skip
