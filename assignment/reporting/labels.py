"""What fits are called in tables and figures, and in which order they stand."""

import re
from collections.abc import Iterable
from itertools import groupby

from assignment.exercise.estimators import ESTIMATORS
from assignment.exercise.settings import noise_changes
from assignment.results import Fit

_ROWS = {(row.name, row.variant): row for row in ESTIMATORS}
_OPTIMIZERS = {"rmsprop": "RMSProp", "sgd": "SGD"}  # Adam is not named.


def estimator_label(fit: Fit) -> str:
    """Estimator and variant, with the settings that are not the defaults: "NCE telescoped, SGD, seed 3"."""
    optimizer, seed = _OPTIMIZERS.get(fit.record["optimizer"]), fit.record["seed"]
    changes = [*filter(None, [optimizer]), *noise_words(fit), *([f"seed {seed}"] if seed else [])]
    return ", ".join([_row(fit).label, *changes])


def noise_words(fit: Fit) -> list[str]:
    """The settings of NCE's noise that are not the defaults, in words; [] for other estimators."""
    return noise_changes(fit.record.get("request", {})) if fit.record["estimator"] == "nce" else []


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
    return (words if len(words) <= 50 else re.split(r": | of positive", words)[0]) or None


def by_family(fits: Iterable[Fit]) -> dict[tuple[str, int], list[Fit]]:
    """Fits as {(weights, connectivity): [fits]}, both in the order in which they are to be read."""
    return {name: list(group) for name, group in groupby(in_order(fits), family)}


def in_order(fits: Iterable[Fit]) -> list[Fit]:
    """Fits in the order in which they are to be read, family by family, shared weights first."""

    def place(fit):
        record, row = fit.record, ESTIMATORS.index(_row(fit))
        by_optimizer = _OPTIMIZERS.get(record["optimizer"], ""), noise_words(fit), record["seed"]
        return record["weights"] != "shared", record["connectivity"], row, *by_optimizer

    return sorted(fits, key=place)


def _row(fit):
    return _ROWS[fit.record["estimator"], fit.record["variant"]]
