"""The fit by score matching, plain or preconditioned by the present fit's covariance.

The loss is a quadratic in θ and knows nothing of log Z. With M = Σ̂ it is stationary where maximum likelihood is. With
M = I it pursues an optimum that need not be positive definite, and is not on MNIST: the fit then ends on the border of
the cone, and says so.
"""

from typing import Any

import keras
import tensorflow as tf

from assignment.checks import one_of
from assignment.fits.averaging import PlainOptimum, fit_by_averaging
from assignment.fits.result import FitResult
from assignment.fits.start import begin
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.score_matching import ScoreMatching
from assignment.training.loop import Progress
from assignment.training.step import Step

VARIANTS = ("preconditioned", "plain")


def fit_score_matching(
    layer: StencilPrecision,
    images: Any,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    *,
    variant: str = "preconditioned",
    steps: int = 200,
    batch_size: int = 512,
    seed: int = 0,
    progress: Progress | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> FitResult:
    """Fits Λ by score matching on minibatches.

    Args:
      variant: "preconditioned", with M = Σ̂ of the present fit, or "plain", M = I.
      The others are those of `fit_conditional_nce`.

    Returns:
      As `fit_conditional_nce`, without `epsilon`; "plain" here is what "isotropic" is there.
    """
    with begin(layer, images, seed) as (images, moments):
        plain = one_of("variant", variant, VARIANTS) == "plain"
        objective = ScoreMatching(None if plain else LatticeGaussian(layer))
        step = Step(layer, objective, optimizer, strategy)
        optimum = PlainOptimum(step, images, unit_loss=True) if plain else None

        def renew(k, x):
            if optimum:
                return optimum.curvature() / step.whitening.loss_unit
            objective.move(LatticeGaussian(layer))  # Where M lags behind the fit, that swings.
            return 2.0

        return fit_by_averaging(
            step, images, moments, renew, optimum, steps=steps, batch_size=batch_size, seed=seed, progress=progress
        )
