"""Which fits a part's tables and panels set side by side."""

from pathlib import Path

from assignment.reporting.results import load_part, load_results


def part_fits(part, root):
    """The fits to compare in `part`, out of the results of one data set, `root` = results/<dataset>.

    Its own; for `bonus8` also those of the 4-connected lattice, and for `second` those of every estimator, of the
    same families. A fit that several parts hold counts once.
    """
    own = load_part(Path(root) / part)
    if not own or part not in ("second", "bonus8"):
        return own
    weights = {fit.record["weights"] for fit in own}
    connectivities = {fit.record["connectivity"] for fit in own} | ({4} if part == "bonus8" else set())
    found = {fit.name: fit for fit in load_results(root)} | {fit.name: fit for fit in own}
    return [
        fit
        for fit in found.values()
        if fit.record["weights"] in weights and fit.record["connectivity"] in connectivities
    ]


def all_fits(root):
    """Every fit of a data set, once."""
    return list({fit.name: fit for fit in load_results(root)}.values())
