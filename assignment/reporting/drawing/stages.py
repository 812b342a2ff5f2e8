"""Figures of NCE whose noise moves: what happened stage by stage."""

import numpy as np

from assignment.reporting.drawing.curves import signed
from assignment.reporting.drawing.images import grey_limits
from assignment.reporting.drawing.style import BLUE, CEILING, EXACT, INK, LEARNED, SKY, VERMILION, hide_axes, new_figure
from assignment.reporting.labels import title


def stages(fit):
    """By stage: log Z learned and exact, with what is between them; the classifier's overlap and spread; test nats."""
    figure = new_figure(4.3, title(fit))
    (top_left, top_right), (low_left, low_right) = figure.subplots(2, 2, sharex=True)
    _log_partition(top_left, low_left, fit.arrays)
    _classifier(top_right, fit.arrays)
    _held_out(low_right, fit.arrays["stage_held_out"], fit.record["held_out"]["maximum_likelihood"])
    for axes in (low_left, low_right):
        axes.set_xlabel("stage (0: the diagonal noise)")
    return figure


def _log_partition(axes, residual_axes, arrays):
    learned, exact, error = arrays["stage_learned"], arrays["stage_exact"], arrays["stage_standard_error"]
    stage = np.arange(len(learned))
    axes.plot(stage, learned, **LEARNED, marker="", label="learned, $c$")
    axes.plot(stage, exact, **EXACT, marker="", label=r"exact, $\log Z$")
    axes.set(ylabel=r"$\log Z$ (nats)", title="the constant, telescoped")
    axes.legend()
    residual = learned - exact
    band = {"color": SKY, "alpha": 0.4, "linewidth": 0, "label": "± 2 standard errors"}
    residual_axes.fill_between(stage, -2 * error, 2 * error, **band)
    residual_axes.plot(stage, residual, **LEARNED, marker="")
    residual_axes.axhline(0, **EXACT)
    residual_axes.set(ylabel="learned − exact (nats)")
    residual_axes.set_title(f"its error; at the end {signed(residual[-1])} ± {error[-1]:.3f}")
    residual_axes.legend(loc="lower left")


def _classifier(axes, arrays):
    stage = np.arange(1, len(arrays["stage_overlap"]) + 1)
    solid = {"color": BLUE, "linestyle": "-", "marker": ""}
    dashed = {"color": VERMILION, "linestyle": "--", "marker": ""}
    axes.plot(stage, arrays["stage_overlap"], **solid)
    axes.set(ylabel="overlap, solid (1: undecided)", ylim=(0, 1.05), title="the classifier of each stage")
    twin = axes.twinx()
    twin.spines["right"].set_visible(True)
    twin.plot(stage, arrays["stage_spread"], **dashed)
    twin.set(ylabel="spread of $G$ on noise, dashed (nats)", ylim=(0, 1.1 * arrays["stage_spread"].max()))


def _held_out(axes, held_out, ceiling):
    axes.plot(np.arange(len(held_out)), held_out, **LEARNED, marker="", label="test images")
    axes.axhline(ceiling, **CEILING, label="maximum likelihood")
    axes.set(ylabel="nats per test image")
    axes.set_title(f"held out; at the end {signed(held_out[-1] - ceiling)} from the ceiling")
    axes.legend(loc="lower right")


def stage_samples(fit):
    """A sample of the model at a few stages, in a row, and a training image to compare."""
    drawn, at = fit.arrays["stage_samples"], fit.arrays["stage_samples_at"]
    figure = new_figure(6.3 / (len(at) + 1) + 0.45, title(fit))
    panels = figure.subplots(1, len(at) + 1)
    low, high = grey_limits(fit.arrays["data"])
    words = [f"stage {int(stage)}" for stage in at] + ["training image"]
    for axes, image, name in zip(panels, [*drawn, fit.arrays["data"][0]], words, strict=True):
        axes.imshow(image, cmap=INK, vmin=low, vmax=high)
        axes.set_title(name)
        hide_axes(axes)
    return figure
