"""What fits are called in tables and figures, and in which order they stand."""

import re
from collections.abc import Iterable

from assignment.exercise.estimators import ESTIMATORS
from assignment.results import Fit

_ROWS = {(row.name, row.variant): (place, row) for place, row in enumerate(ESTIMATORS)}
_WEIGHTS = ("shared", "per_edge")
_OPTIMIZERS = {"adam": "Adam", "rmsprop": "RMSProp", "sgd": "SGD"}


def estimator_label(fit: Fit) -> str:
    """Estimator and variant, with the settings that are not the defaults: "NCE telescoped, SGD, seed 3"."""
    return ", ".join([_row(fit)[1].label, *_changes(fit)])


def short_label(fit: Fit) -> str:
    """`estimator_label` for narrow columns."""
    return ", ".join([_row(fit)[1].short_label, *_changes(fit)])


def noise_words(fit: Fit) -> list[str]:
    """The settings of NCE's noise that are not the defaults, in words; [] for other estimators."""
    request = fit.record.get("request", {}) if fit.record["estimator"] == "nce" else {}
    kind, scale, eta = (request.get(key) for key in ("noise_variance", "noise_scale", "eta"))
    words = [kind] if kind not in (None, "per_pixel") else []
    words += [f"scale {scale:g}"] if scale not in (None, 1) else []
    return words + ([f"eta {eta:g}"] if eta not in (None, 0.5) else [])


def family(fit: Fit) -> tuple[str, int]:
    """The model family of a fit, (weights, connectivity): fits of one family on the same data are comparable."""
    return fit.record["weights"], fit.record["connectivity"]


def family_label(family: tuple[str, int]) -> str:
    """(weights, connectivity) in words: "per-edge weights, 4-connected"."""
    weights, connectivity = family
    return f"{weights.replace('_', '-')} weights, {connectivity}-connected"


def short_family_label(fit: Fit) -> str:
    """The family of a fit for narrow columns: "per-edge, 4"."""
    weights, connectivity = family(fit)
    return f"{weights.replace('_', '-')}, {connectivity}"


def ending(fit: Fit) -> str | None:
    """In words, how a fit ended that did not converge; None for one that did."""
    status = fit.record["status"]
    return None if status == "converged" else status


def short_ending(fit: Fit) -> str | None:
    """`ending` in a few words: without what stands in brackets or after a comma, nor a long second half."""
    words = re.split(r" \(|[,;] ", ending(fit) or "")[0]
    return (words if len(words) <= 50 else re.split(r": | of (?:the )?positive", words)[0]) or None


def by_family(fits: Iterable[Fit]) -> dict[tuple[str, int], list[Fit]]:
    """Fits as {(weights, connectivity): [fits]}, both in the order in which they are to be read."""
    groups = {}
    for fit in in_order(fits):
        groups.setdefault(family(fit), []).append(fit)
    return groups


def in_order(fits: Iterable[Fit]) -> list[Fit]:
    """Fits in the order in which they are to be read, family by family."""
    return sorted(fits, key=_rank)


def _row(fit):
    return _ROWS[fit.record["estimator"], fit.record["variant"]]


def _changes(fit):
    optimizer, seed = fit.record["optimizer"], fit.record["seed"]
    words = [_OPTIMIZERS[optimizer]] if optimizer in ("rmsprop", "sgd") else []
    return words + noise_words(fit) + ([f"seed {seed}"] if seed else [])


def _rank(fit):
    record, optimizers = fit.record, list(_OPTIMIZERS)
    optimizer = optimizers.index(record["optimizer"]) if record["optimizer"] in optimizers else 0
    place = _WEIGHTS.index(record["weights"]), record["connectivity"], _row(fit)[0]
    return *place, optimizer, noise_words(fit), record["seed"]
