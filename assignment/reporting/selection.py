"""Which fits a part's tables and panels set side by side."""

from __future__ import annotations

from pathlib import Path

from assignment.reporting.labels import noise_words
from assignment.results import Fit, load_part, load_results


def part_fits(part: str, root: str | Path) -> list[Fit]:
    """The fits to compare in `part`, out of the results of one data set, `root` = results/<data set>.

    Its own; for `bonus8` also those of the 4-connected lattice, and for `second` those of every estimator, of the
    same families, by the same optimizer and with NCE's default noise. A fit that several parts hold counts once.
    """
    own = load_part(Path(root) / part)
    if not own or part not in ("second", "bonus8"):
        return own
    weights = {fit.record["weights"] for fit in own}
    connectivities = {fit.record["connectivity"] for fit in own} | ({4} if part == "bonus8" else set())
    optimizers = {fit.record["optimizer"] for fit in own} | {"fisher_scoring"}
    found = {fit.name: fit for fit in all_fits(root)} | {fit.name: fit for fit in own}
    return [
        fit
        for fit in found.values()
        if fit.record["weights"] in weights
        and fit.record["connectivity"] in connectivities
        and fit.record["optimizer"] in optimizers
        and not noise_words(fit)
    ]


def all_fits(root: str | Path) -> list[Fit]:
    """Every fit of a data set, once."""
    return list({fit.name: fit for fit in load_results(root)}.values())


def default_fits(fits: list[Fit]) -> list[Fit]:
    """Those by Adam with NCE's default noise: the report has tables of their own for the others."""
    return [fit for fit in fits if fit.record["optimizer"] in ("adam", "fisher_scoring") and not noise_words(fit)]
