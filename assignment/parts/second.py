"""Parts `cnce` and `sm`, the second estimators, and the coin of part `second` that chooses between them."""

import numpy as np

from assignment.estimators.bridges import bridge_from_diagonal
from assignment.estimators.following import fit_conditional_nce, fit_score_matching, scan_epsilon
from assignment.parts.record import save

_FACTS = ("status", "drift", "halvings", "loss_at_fit", "loss_at_optimum")


def flip(coin_seed):
    """The hand-out's coin: ("heads", "cnce") or ("tails", "sm"), decided by a seed such as a student number."""
    return [("heads", "cnce"), ("tails", "sm")][int(np.random.default_rng(coin_seed).integers(2))]


def conditional_nce(exercise, settings, progress, part, checkpoint, variant):
    """Conditional NCE with isotropic or matched noise."""
    layer, result = _fitted(fit_conditional_nce, exercise, settings, progress, checkpoint, variant)
    seconds = checkpoint.seconds
    spread = "the identity" if variant == "isotropic" else "the present fit's covariance"
    facts = {
        "noise": {"words": f"Gaussian about each image, ε² times {spread}", "epsilon": result["epsilon"][-1]},
        "epsilon": result["epsilon"][-1],
    }
    arrays = {"epsilon_by_step": result["epsilon"]}
    if layer.shared:
        arrays |= scan_epsilon(layer, exercise.train, exercise.test, variant, seed=settings.seed)
    return _save(exercise, settings, part, "cnce", variant, layer, result, seconds, facts, arrays)


def score_matching(exercise, settings, progress, part, checkpoint, variant):
    """Score matching, plain or preconditioned."""
    layer, result = _fitted(fit_score_matching, exercise, settings, progress, checkpoint, variant)
    return _save(exercise, settings, part, "sm", variant, layer, result, checkpoint.seconds, {}, {})


def _fitted(fit, exercise, settings, progress, checkpoint, variant):
    """A layer fitted from the common start by one of the two, and what the fit returned."""
    layer = exercise.new_layer(settings.connectivity, settings.weights)
    result = fit(
        layer,
        exercise.train,
        variant,
        settings.optimizer,
        seed=settings.seed,
        progress=lambda step, steps, loss: progress(step, steps, f"loss {loss:.4g}"),
        checkpoint=checkpoint,
        strategy=exercise.strategy,
    )
    return layer, result


def _save(exercise, settings, part, estimator, variant, layer, result, seconds, facts, arrays):
    facts |= {key: result[key] for key in _FACTS if key in result}
    if "optimum_min_eigenvalue" in result:
        facts["closed_form_min_eigenvalue"] = result["optimum_min_eigenvalue"]
    if part == "second":
        outcome, _ = flip(settings.coin_seed)
        facts["coin"] = {"seed": settings.coin_seed, "outcome": outcome}
    learned = None
    if settings.log_partition:
        constant, variance = bridge_from_diagonal(layer, settings.seed)
        learned = (constant, variance**0.5)
    return save(
        exercise,
        settings,
        part,
        estimator,
        variant,
        layer,
        seconds=seconds,
        steps=len(result["loss"]),
        facts=facts,
        arrays=arrays | {"loss": result["loss"]},
        learned=learned,
    )
