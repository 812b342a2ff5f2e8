"""Which fits each part is made of."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from assignment.exercise.estimators import ESTIMATORS, Estimator
from assignment.exercise.settings import Settings

_OPTIMIZERS = ("sgd", "rmsprop")
_NOISES = (dict(noise_variance="isotropic"), dict(noise_scale=4.0), dict(noise_scale=0.25), dict(eta=0.1))


class Planned(NamedTuple):
    """One fit to make: the estimator, the part in whose folder it is kept, and the settings."""

    row: Estimator
    part: str
    settings: Settings


def flip(coin_seed: int) -> tuple[str, str]:
    """The coin: ("heads", "cnce") or ("tails", "sm"), decided by a seed such as a student number."""
    return [("heads", "cnce"), ("tails", "sm")][int(np.random.default_rng(coin_seed).integers(2))]


def plan(part: str, settings: Settings) -> list[Planned]:
    """The fits of a part, its own fits first."""
    if part == "bonus8":
        return _bonus8(settings)
    if part == "report":
        return _report(settings)
    name = flip(settings.coin_seed)[1] if part == "second" else part
    rows = [row for row in ESTIMATORS if row.name == name]
    if part == "nce" and settings.noise != "both":
        rows = [row for row in rows if row.variant == settings.noise]
    return [Planned(row, part, settings) for row in rows]


def _bonus8(settings):
    """Every estimator, both weightings: 8-connected here, 4-connected where the other parts keep it."""
    return [
        Planned(row, "bonus8" if connectivity == 8 else row.name, family)
        for connectivity in (8, 4)
        for weights in ("shared", "per_edge")
        for family in [replace(settings, connectivity=connectivity, weights=weights)]
        for row in ESTIMATORS
    ]


def _report(settings):
    """All that the report speaks of: the coin, both neighbourhoods, the three optimizers and the choice of p_n."""
    default = replace(settings, connectivity=4, weights="shared", optimizer="adam")
    fixed, telescoped = (row for row in ESTIMATORS if row.name == "nce")
    optimizers = [
        Planned(telescoped, "nce", replace(default, weights=weights, optimizer=name))
        for weights in ("shared", "per_edge")
        for name in _OPTIMIZERS
    ]
    noises = [Planned(fixed, "nce", replace(default, **change)) for change in _NOISES]
    return plan("second", default) + _bonus8(default) + optimizers + noises
