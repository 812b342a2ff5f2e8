"""Which fits a part's tables and panels set side by side, and what four more neighbours gain, image by image."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from assignment.reporting.labels import estimator_label, in_order, noise_words
from assignment.reporting.numbers import uncertain
from assignment.results import Fit, load_part, load_results

COMPARING = ("bonus8", "second")  # the parts whose tables and panels show other parts' fits as well


def part_fits(part: str, root: str | Path) -> list[Fit]:
    """The fits to compare in `part`, out of the results of one data set, `root` = results/<data set>.

    Its own; for `bonus8` also those of the 4-connected lattice, and for `second` those of every estimator, of the same
    families and seed, by the same optimizer and with NCE's default noise. A fit that several parts hold counts once.
    """
    own = load_part(Path(root) / part)
    if not own or part not in COMPARING:
        return own
    alike = {key: {fit.record[key] for fit in own} for key in ("weights", "connectivity", "optimizer", "seed")}
    alike["optimizer"].add("fisher_scoring")
    if part == "bonus8":
        alike["connectivity"].add(4)
    found = {fit.name: fit for fit in [*load_results(root), *own] if not noise_words(fit)}
    return [fit for fit in found.values() if all(fit.record[key] in values for key, values in alike.items())]


class Gain(NamedTuple):
    """Test log-likelihood of `eight` minus that of `four`, fits alike but for the neighbourhood, in nats per image."""

    four: Fit
    eight: Fit
    mean: float  # over the test images
    standard_error: float  # of the mean


def gains(fits: Iterable[Fit]) -> list[Gain]:
    """All Gains among fits, in reading order."""
    fours, found = {}, []
    for fit in in_order(fits):
        names = ("estimator", "variant", "weights", "optimizer", "seed")
        alike = *(fit.record[name] for name in names), *noise_words(fit)
        if fit.record["connectivity"] == 4:
            fours[alike] = fit
        elif four := fours.get(alike):
            difference = fit.arrays["test_log_likelihood"] - four.arrays["test_log_likelihood"]
            error = difference.std(ddof=1) / np.sqrt(len(difference))
            found.append(Gain(four, fit, float(difference.mean()), float(error)))
    return found


def best_gains(fits: Iterable[Fit]) -> list[Gain]:
    """For each kind of weights the Gain whose 8-connected fit does best."""
    ascending = sorted(gains(fits), key=lambda gain: gain.eight.record["held_out"]["log_likelihood"])
    best = {gain.eight.record["weights"]: gain for gain in ascending}
    return [best[weights] for weights in ("shared", "per_edge") if weights in best]


def remarks(fits: Iterable[Fit]) -> list[str]:
    """What there is to say below a table: the best gains, what the coin decided, and that the sample served."""
    found = []
    for gain in best_gains(fits):
        nats, weights = uncertain(gain.mean, gain.standard_error), gain.eight.record["weights"].replace("_", "-")
        kind = f"({estimator_label(gain.eight)}, {weights} weights)"
        found.append(f"8 instead of 4 neighbours: {nats} nats per test image {kind}")
    coins = [fit.record["coin"] for fit in fits if "coin" in fit.record]
    found += [f"The coin (seed {coin['seed']}) fell {coin['outcome']}." for coin in coins[:1]]
    sources = [fit.record["dataset"]["source"] for fit in fits if fit.record["dataset"].get("fallback")]
    return found + [f"The small sample data set served: {source}." for source in sources[:1]]
