"""The second estimators, and the coin that chooses between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from assignment.exercise.data import Found, Trained
from assignment.fits.bridges import log_partition_from_diagonal
from assignment.fits.conditional_nce import scan_epsilon
from assignment.fits.result import FitResult
from assignment.lattice.precision import StencilPrecision

# Facts, and what the history of a fit calls them.
_OF_HISTORY = {name: name for name in ("drift", "halvings", "loss_at_fit", "loss_at_optimum")}
_OF_HISTORY |= {"closed_form_min_eigenvalue": "optimum_min_eigenvalue"}
_SPREADS = {"isotropic": "the identity", "matched": "the present fit's covariance"}


def flip(coin_seed: int) -> tuple[str, str]:
    """The coin: ("heads", "cnce") or ("tails", "sm"), decided by a seed such as a student number."""
    return [("heads", "cnce"), ("tails", "sm")][int(np.random.default_rng(coin_seed).integers(2))]


def with_constant(layer: StencilPrecision, result: FitResult, seed: int) -> FitResult:
    """The result with log Z of the fit learned by bridges; where they do not reach, its status says so."""
    try:
        constant, error = log_partition_from_diagonal(layer, seed)
    except ArithmeticError as error:
        return replace(result, status=f"{result.status}; log Z was not learned: {error}")
    return replace(result, log_partition=constant, standard_error=error)


def sm_findings(trained: Trained) -> Found:
    """How the fit ended."""
    history = trained.result.history
    return {key: float(history[name]) for key, name in _OF_HISTORY.items() if name in history}, {}


def cnce_findings(trained: Trained) -> Found:
    """How the fit ended and its ε; in the estimator's own part, for shared weights, what other ε would have given."""
    facts, arrays = sm_findings(trained)
    data, layer, variant = trained.data, trained.layer, trained.row.variant
    facts["epsilon"] = float(trained.result.history["epsilon"][-1])
    words = f"Gaussian about each image, ε² times {_SPREADS[variant]}"
    if layer.shared and trained.part != "bonus8":  # That part has many fits.
        arrays = scan_epsilon(layer, data.train, data.test, variant, seed=trained.settings.seed)
    return facts | {"noise": {"words": words, "epsilon": facts["epsilon"]}}, arrays
