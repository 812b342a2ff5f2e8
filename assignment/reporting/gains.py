"""What four more neighbours gain: 8-connected fits against 4-connected ones, image by image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from assignment.reporting.labels import coin_line, data_line, estimator_label, in_order, noise_words
from assignment.reporting.numbers import uncertain
from assignment.results import Fit


@dataclass(frozen=True)
class Gain:
    """Test log-likelihood of `eight` minus that of `four`, fits alike but for the neighbourhood, in nats per image.

    `mean` over the test images, and its `standard_error`.
    """

    four: Fit
    eight: Fit
    mean: float
    standard_error: float

    def __str__(self) -> str:
        weights = self.eight.record["weights"].replace("_", "-")
        nats = f"{uncertain(self.mean, self.standard_error)} nats per test image"
        return f"8 instead of 4 neighbours: {nats} ({estimator_label(self.eight)}, {weights} weights)"


def gains(fits: Iterable[Fit]) -> list[Gain]:
    """All Gains among fits, in reading order; only fits that hold `test_log_likelihood` [n] count."""
    ordered = in_order(fits)
    fours = {_but_neighbours(fit): fit for fit in ordered if fit.record["connectivity"] == 4}
    eights = [fit for fit in ordered if fit.record["connectivity"] == 8]
    pairs = [(fours[key], fit) for fit in eights if (key := _but_neighbours(fit)) in fours]
    return [_gain(*pair) for pair in pairs if all("test_log_likelihood" in fit.arrays for fit in pair)]


def best_gains(fits: Iterable[Fit]) -> list[Gain]:
    """For each kind of weights the Gain whose 8-connected fit does best."""
    best = {}
    for gain in sorted(gains(fits), key=lambda gain: gain.eight.record["held_out"]["log_likelihood"]):
        best[gain.eight.record["weights"]] = gain
    return [best[weights] for weights in ("shared", "per_edge") if weights in best]


def remarks(fits: Iterable[Fit]) -> list[str]:
    """What there is to say below a table: the best gains, the coin, and that the sample served."""
    return [*map(str, best_gains(fits)), *filter(None, [coin_line(fits), data_line(fits)])]


def _but_neighbours(fit):
    return *(fit.record[key] for key in ("estimator", "variant", "weights", "optimizer", "seed")), *noise_words(fit)


def _gain(four, eight):
    difference = eight.arrays["test_log_likelihood"] - four.arrays["test_log_likelihood"]
    return Gain(four, eight, float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference))))
