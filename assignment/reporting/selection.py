"""Which fits a part's tables and panels set side by side."""

from pathlib import Path

from assignment.reporting.labels import noise_words
from assignment.reporting.results import load_part, load_results


def part_fits(part, root):
    """The fits to compare in `part`, out of the results of one data set, `root` = results/<dataset>.

    Its own; for `bonus8` also those of the 4-connected lattice, and for `second` those of every estimator, of the
    same families, by the same optimizer and with NCE's default noise. A fit that several parts hold counts once.
    """
    own = load_part(Path(root) / part)
    if not own or part not in ("second", "bonus8"):
        return own
    weights = {fit.record["weights"] for fit in own}
    connectivities = {fit.record["connectivity"] for fit in own} | ({4} if part == "bonus8" else set())
    optimizers = {fit.record["optimizer"] for fit in own} | {"fisher_scoring"}
    found = {fit.name: fit for fit in load_results(root)} | {fit.name: fit for fit in own}
    return [
        fit
        for fit in found.values()
        if fit.record["weights"] in weights
        and fit.record["connectivity"] in connectivities
        and fit.record["optimizer"] in optimizers
        and not noise_words(fit)
    ]


def all_fits(root):
    """Every fit of a data set, once."""
    return list({fit.name: fit for fit in load_results(root)}.values())
