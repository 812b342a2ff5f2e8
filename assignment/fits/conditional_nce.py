"""The fit by conditional NCE: ε is chosen by the loss, and matched noise has the shape of the present fit.

The loss is convex in θ and knows nothing of log Z. With noise N(x, ε²Λ̂⁻¹) it is stationary where maximum likelihood is,
up to O(ε²). With noise N(x, ε²I) it pursues an optimum that need not be positive definite, and is not on MNIST: the fit
then ends on the border of the cone, and says so.
"""

import copy
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from assignment.checks import image_shape, image_stack, one_of, trainable
from assignment.data.minibatches import chunks
from assignment.fits.averaging import MOST_STEPS, Averaging, PlainOptimum, fit_by_averaging
from assignment.fits.result import FitResult
from assignment.fits.start import begin
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import data_moments, mean_log_likelihood
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.conditional_nce import ConditionalNCE, isotropic_noise
from assignment.seeds import seed_pair
from assignment.training.loop import Progress, checked_batch_size, train
from assignment.training.step import Step

VARIANTS = ("matched", "isotropic")
TUNE_EVERY = 50  # Steps between two choices of ε.
TUNED_ON = 512  # images


def fit_conditional_nce(
    layer: StencilPrecision,
    images: Any,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    *,
    variant: str = "matched",
    steps: int = 300,
    batch_size: int = 1024,
    noise_ratio: int = 512,
    seed: int = 0,
    progress: Progress | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> FitResult:
    """Fits Λ by conditional NCE.

    Args:
      layer: a built `StencilPrecision`; its weights are the start, and after the call the fit.
      images: [N, H, W], mean subtracted, or what `load_images` returned.
      optimizer: "sgd", "rmsprop", "adam" or a Keras optimizer.
      variant: "matched", p_n(x'|x) = N(x, ε²Λ̂⁻¹) with Λ̂ the present fit, or "isotropic", N(x, ε²I).
      steps: how many, once the fit has arrived; batch_size: B; noise_ratio: κ, noise images for each image.
      seed: decides all that is drawn.
      progress: called as progress(step, None, words) after every step.
      strategy: a `tf.distribute.Strategy` whose replicas share each minibatch.

    Returns:
      A FitResult. `history` has `loss` and `epsilon` by step, and `halvings`. Where the noise is isotropic also
      `optimum_min_eigenvalue`, of the unconstrained optimum at ε → 0 (that of plain score matching), and the losses
      `loss_at_fit` and `loss_at_optimum`; not where the images leave that optimum undetermined.

    Raises:
      ValueError, TypeError: bad arguments. ArithmeticError: the loss or its gradient was not finite. UserError: another
        worker was lost.
    """
    with begin(layer, images, seed) as (images, moments):
        objective = ConditionalNCE(_noise(layer, variant), noise_ratio=noise_ratio)
        step = Step(layer, objective, optimizer, strategy)
        optimum = PlainOptimum(step, images) if variant == "isotropic" else None
        chosen = []  # ε and the curvature of the loss, by step

        def renew(k, x):
            if k % TUNE_EVERY:
                chosen.append(chosen[-1])
            else:
                objective.tune(layer, x[:TUNED_ON], seed_pair(seed, "tune", k))
                epsilon = float(objective.epsilon)
                chosen.append((epsilon, 0.25 * epsilon**2 * (optimum.curvature() / 2 if optimum else 1.0)))
            return chosen[-1][1]

        ended = fit_by_averaging(
            step, images, moments, renew, optimum, steps=steps, batch_size=batch_size, seed=seed, progress=progress
        )
        ended.history["epsilon"] = np.array(chosen)[:, 0]
        return ended


def scan_epsilon(
    layer: StencilPrecision,
    images: Any,
    test_images: Any,
    variant: str = "matched",
    *,
    steps: int = 50,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """What ε does to conditional NCE: short fits with fixed ε, each from the layer's present weights.

    Args:
      layer: at a fit, where it is left.
      images, test_images: [N, H, W], or what `load_images` returned.
      steps: of each fit.

    Returns:
      {`epsilon`, `epsilon_loss`, `epsilon_held_out`}: ε, from an eighth of the one that the loss chooses at this fit to
      four times that; the mean loss over the last third of the steps; and the exact held-out log-likelihood in nats per
      image. Three arrays of equal length.
    """
    images = image_stack(getattr(images, "images", images))
    trainable(layer, images)
    test_images = getattr(test_images, "images", test_images)
    image_shape("test_images", test_images, layer.height, layer.width)
    moments = data_moments(layer, chunks(test_images))
    trial = copy.deepcopy(layer)
    objective = ConditionalNCE(_noise(trial, variant))
    objective.tune(trial, images[:TUNED_ON], seed_pair(seed, "tune"))
    epsilons = float(objective.epsilon) * np.geomspace(1 / 8, 4, 6)
    batch_size = checked_batch_size(TUNED_ON, images, 8)
    step = Step(trial, objective, "adam")
    losses, likelihoods = [], []
    for epsilon in epsilons:
        trial.theta.assign(layer.theta)
        objective.epsilon.assign(epsilon)
        step.centre()
        step.forget()
        averaging = Averaging(step, steps, lambda *_: 1.0)
        found = train(step, images, averaging, steps=MOST_STEPS + steps, batch_size=batch_size, seed=seed)
        averaging.end()
        losses.append(np.mean(found[-(steps // 3) :]))
        likelihoods.append(mean_log_likelihood(trial, moments))
    return {"epsilon": epsilons, "epsilon_loss": np.array(losses), "epsilon_held_out": np.array(likelihoods)}


def _noise(layer, variant):
    matched = one_of("variant", variant, VARIANTS) == "matched"
    return LatticeGaussian(layer) if matched else isotropic_noise(layer.height, layer.width)
