"""Figures of NCE whose noise moves: what happened stage by stage."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from assignment.reporting.drawing import style
from assignment.reporting.drawing.curves import draw_constant, draw_error
from assignment.reporting.drawing.images import grey, grey_limits
from assignment.reporting.numbers import below


@style.style()
def stages(
    learned: np.ndarray,
    standard_error: np.ndarray,
    exact: np.ndarray,
    spread: np.ndarray,
    overlap: np.ndarray,
    held_out: np.ndarray,
    ceiling: float,
) -> Figure:
    """By stage: log Z learned and exact, with what is between them; the classifier's overlap and spread; test nats.

    Args:
      learned, standard_error, exact, held_out: [T + 1], from the diagonal noise on; spread, overlap: [T].
      ceiling: test nats of the maximum likelihood.
    """
    figure = style.new_figure(4.0)
    (top_left, top_right), (low_left, low_right) = figure.subplots(2, 2, sharex=True)
    draw_constant(top_left, learned, exact)
    draw_error(low_left, learned - exact, standard_error)
    _classifier(top_right, spread, overlap)
    _held_out(low_right, held_out, ceiling)
    for axes in (low_left, low_right):
        axes.set_xlabel("stage (0: the diagonal noise)")
    return figure


def _classifier(axes, spread, overlap):
    stage = np.arange(1, len(overlap) + 1)
    axes.plot(stage, overlap, color=style.BLUE, linestyle="-", marker="")
    axes.set(ylabel="overlap, solid (1: undecided)", ylim=(0, 1.05), title="the classifier of each stage")
    twin = axes.twinx()
    twin.spines["right"].set_visible(True)
    twin.plot(stage, spread, color=style.VERMILION, linestyle="--", marker="")
    twin.set(ylabel="spread of $G$, dashed (nats)", ylim=(0, 1.1 * spread.max()))


def _held_out(axes, held_out, ceiling):
    axes.plot(np.arange(len(held_out)), held_out, **style.LEARNED, marker="", label="test images")
    axes.axhline(ceiling, **style.CEILING, label="maximum likelihood")
    axes.set(ylabel="nats per test image")
    axes.set_title(f"held out; at the end {below(ceiling - held_out[-1])} the ceiling")
    axes.legend(loc="lower right")


@style.style()
def stage_samples(drawn: np.ndarray, at: np.ndarray, data: np.ndarray) -> Figure:
    """Samples [n, H, W] of the model at stages `at` [n], in a row, and the first of the training images `data`."""
    figure = style.new_figure(style.panel_height(data.shape, style.WIDTH / (len(at) + 1)) + 0.3)
    panels = figure.subplots(1, len(at) + 1)
    words = [f"stage {int(stage)}" for stage in at] + ["training image"]
    for axes, picture, name in zip(panels, [*drawn, data[0]], words, strict=True):
        grey(axes, picture, grey_limits(data))
        axes.set_title(name)
    return figure
