"""What four more neighbours buy: 8-connected fits against 4-connected ones, image by image."""

from dataclasses import dataclass

import numpy as np

from assignment.reporting.labels import by_family, estimator_label
from assignment.reporting.results import Fit


@dataclass(frozen=True)
class Gain:
    """Test log-likelihood of `eight` minus that of `four`, fits alike but for the neighbourhood, in nats per image.

    `mean` over the test images, and its `standard_error`.
    """

    four: Fit
    eight: Fit
    mean: float
    standard_error: float

    def __str__(self):
        size = f"{self.mean:+.2f} ± {self.standard_error:.2f}".replace("-", "−")
        weights = self.eight.record["weights"].replace("_", "-")
        label = estimator_label(self.eight)
        return f"8 instead of 4 neighbours: {size} nats per test image ({label}, {weights} weights)"


def gains(fits):
    """All Gains among fits, in reading order; only fits that hold `test_log_likelihood` [n] count."""
    ordered = [fit for group in by_family(fits).values() for fit in group]
    fours = {_but_neighbours(fit): fit for fit in ordered if fit.record["connectivity"] == 4}
    pairs = [
        (fours[_but_neighbours(fit)], fit)
        for fit in ordered
        if fit.record["connectivity"] == 8 and _but_neighbours(fit) in fours
    ]
    return [_gain(*pair) for pair in pairs if all("test_log_likelihood" in fit.arrays for fit in pair)]


def best_gains(fits):
    """For each kind of weights the Gain whose 8-connected fit does best."""
    best = {}
    for gain in sorted(gains(fits), key=lambda gain: gain.eight.record["held_out"]["log_likelihood"]):
        best[gain.eight.record["weights"]] = gain
    return [best[weights] for weights in ("shared", "per_edge") if weights in best]


def _but_neighbours(fit):
    return tuple(fit.record[key] for key in ("estimator", "variant", "weights", "optimizer", "seed"))


def _gain(four, eight):
    difference = eight.arrays["test_log_likelihood"] - four.arrays["test_log_likelihood"]
    return Gain(four, eight, float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference))))
