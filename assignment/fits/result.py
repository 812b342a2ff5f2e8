"""What every fit returns, and when it calls itself converged."""

from dataclasses import dataclass

import numpy as np

from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision

CONVERGED = "converged"
NOT_CONVERGED = "not converged"
CLOSE_ENOUGH = 0.01  # nats per training image


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted model.

    Attributes:
      model: the fitted `LatticeGaussian`, of mean zero as the images are, unless `fit` was given another mean.
      log_partition: c, the learned log Z; None where the estimator learns none.
      standard_error: of c, in nats; None where it is not known.
      status: "converged", or what happened instead, in words.
      suboptimality: how far the fit's likelihood is below its maximum, in nats per training image; of plain score
        matching and isotropic conditional NCE, KL from their own optimum. None where that is not known, or no density.
      history: arrays by name, such as `loss`, the loss before each step.
    """

    model: LatticeGaussian
    log_partition: float | None
    standard_error: float | None
    status: str
    suboptimality: float | None
    history: dict[str, np.ndarray]


def status(layer: StencilPrecision, image_count: int, suboptimality: float, optimum: str) -> str:
    """ "converged" where what is left costs at most twice what the sampling of the images costs, P/2N nats.

    Below CLOSE_ENOUGH a fit is converged in any case; else the words say how far it is below the `optimum`.
    """
    bound = max(CLOSE_ENOUGH, layer.theta.shape[0] / image_count)
    return CONVERGED if suboptimality <= bound else f"{NOT_CONVERGED}: {suboptimality:.3g} nats below {optimum}"
