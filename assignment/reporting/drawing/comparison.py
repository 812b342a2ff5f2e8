"""Figures that set several fits side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from assignment.reporting.drawing import style
from assignment.reporting.drawing.images import grey, grey_limits, mosaic, mosaic_shape, own_scale, sample_limits
from assignment.reporting.gains import best_gains, gains
from assignment.reporting.labels import by_family, ending, estimator_label, family, family_label
from assignment.reporting.numbers import signed, uncertain
from assignment.results import Fit


@style.style()
def sample_panel(fits: list[Fit]) -> Figure:
    """Samples of every estimator in rows, of every model family in columns, below training images.

    A dagger marks fits that did not converge. Samples that leave the data's grey scale have one of their own.
    """
    groups = by_family(fits)
    labels = list(dict.fromkeys(estimator_label(fit) for group in groups.values() for fit in group))
    strips = {(family(fit), estimator_label(fit)): fit for fit in fits}
    data = fits[0].arrays["data"]
    width, ratio = 5.1 / len(groups), data.shape[2] / data.shape[1]
    count = int(np.clip(round(width / (0.45 * ratio)), 1, 10))
    strip = max(width / (count * ratio), 0.2)
    figure = style.new_figure(0.3 + 0.3 * (len(groups) > 1) + (len(labels) + 1) * (strip + 0.06))
    panels = figure.subplots(len(labels) + 1, len(groups), squeeze=False)
    limits = grey_limits(data)
    for column, name in zip(panels.T, groups, strict=True):
        if len(groups) > 1:
            column[0].set_title(family_label(name).replace(", ", "\n"))
        grey(column[0], mosaic(groups[name][0].arrays["data"], 1, count), limits)
        for axes, label in zip(column[1:], labels, strict=True):
            _strip(axes, strips.get((name, label)), count, limits)
    for axes, label in zip(panels[:, 0], ["training images", *labels], strict=True):
        ended = any(ending(fit) for fit in fits if estimator_label(fit) == label)
        axes.set_ylabel(label + " †" * ended, rotation=0, ha="right", va="center")
    if any(map(ending, fits)):
        figure.supxlabel("† not converged; see the table's notes", fontsize=8)
    return figure


def _strip(axes, fit, count, limits):
    if fit is None:
        axes.set_axis_off()
        return
    own = sample_limits(fit.arrays["samples"], limits)
    grey(axes, mosaic(fit.arrays["samples"], 1, count), own)
    if words := own_scale(own, limits).lstrip(", "):
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(0.99, 0.06, words, transform=axes.transAxes, ha="right", va="bottom", fontsize=7, bbox=box)


@style.style()
def showcase(four: Fit, eight: Fit) -> Figure:
    """The model at its best: training images, samples of a telescoped fit of 4 and of 8 neighbours, log Z by stage."""
    data = four.arrays["data"]
    rows, columns = mosaic_shape(9, data.shape)
    height = style.panel_height((rows * data.shape[1], columns * data.shape[2]), 1.5)
    figure = style.new_figure(max(height, 1.2) + 0.5)
    *panels, right = figure.subplots(1, 4)
    stacks = {"data": data, "4 neighbours": four.arrays["samples"], "8 neighbours": eight.arrays["samples"]}
    for axes, (words, images) in zip(panels, stacks.items(), strict=True):
        grey(axes, mosaic(images, rows, columns), grey_limits(data))
        axes.set_title(words)
    for fit, colour, width in ((four, style.BLUE, 2), (eight, style.VERMILION, 4)):
        learned, exact = fit.arrays["stage_learned"], fit.arrays["stage_exact"]
        words = f"{fit.record['connectivity']} neighbours: {signed(learned[-1] - exact[-1])}"
        right.plot(learned, color=colour, linestyle="-", marker="", linewidth=width, alpha=0.6, label=words)
        right.plot(exact, **style.EXACT, marker="", label="exact" if fit is eight else None)
    right.set(xlabel="stage", title=r"learned $\log Z$, its error (nats)")
    low, high = right.get_ylim()
    right.set_ylim(low - 0.6 * (high - low), high)  # room for the legend
    right.legend(fontsize=7, loc="lower left", handlelength=1.2)
    return figure


@style.style()
def scan(fits: list[Fit]) -> Figure:
    """Loss and distance to the ceiling against ε, for fits of one family that scanned it."""
    figure = style.new_figure(2.3)
    left, right = figure.subplots(1, 2)
    for fit in fits:
        epsilon, ceiling = fit.arrays["epsilon"], fit.record["held_out"]["maximum_likelihood"]
        left.plot(epsilon, fit.arrays["epsilon_loss"], label=estimator_label(fit))
        right.plot(epsilon, ceiling - fit.arrays["epsilon_held_out"], label=estimator_label(fit))
    right.set_yscale("symlog", linthresh=0.1)
    right.axhline(0, **style.CEILING)
    for axes in (left, right):
        axes.set(xscale="log", xlabel=r"$\varepsilon$")
    left.set(ylabel="loss", title="loss")
    right.set(ylabel="nats per test image", title=f"test nats below the ceiling of {ceiling:.2f}")
    left.legend()
    return figure


@style.style()
def neighbourhoods(fits: list[Fit]) -> Figure:
    """Test nats of 4- and 8-connected fits, estimator by estimator, with the gain of the further neighbours."""
    gained = {(gain.eight.record["weights"], estimator_label(gain.eight)): gain for gain in gains(fits)}
    groups = by_family(fits)
    kinds = list(dict.fromkeys(name[0] for name in groups))
    labels = list(dict.fromkeys(estimator_label(fit) for group in groups.values() for fit in group))
    figure = style.new_figure(1.1 + 0.23 * len(labels))
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        _dumbbells(axes, [fit for fit in fits if fit.record["weights"] == kind], labels)
        beside = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 8}
        for place, label in enumerate(labels):
            if gain := gained.get((kind, label)):
                axes.text(1.02, place, uncertain(gain.mean, gain.standard_error), **beside)
        axes.set(xlabel="nats per test image (arrow: further left)", title=f"{kind.replace('_', '-')} weights")
        if any(key[0] == kind for key in gained):
            axes.text(1.02, -0.9, "gain", **beside)
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].set_ylim(len(labels) - 0.5, -0.6)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _dumbbells(axes, fits, labels):
    looks = {4: {"color": style.BLUE, "marker": "o", "fillstyle": "none"}, 8: {"color": style.VERMILION, "marker": "s"}}
    ceilings = [fit.record["held_out"]["maximum_likelihood"] for fit in fits]
    least = min(ceilings) - 1.5 * max(np.ptp(ceilings), 0.05 * abs(min(ceilings)))
    for connectivity, look in looks.items():
        chosen = [fit for fit in fits if fit.record["connectivity"] == connectivity]
        for ceiling in {fit.record["held_out"]["maximum_likelihood"] for fit in chosen}:
            line = {"color": look["color"], "linestyle": {4: ":", 8: "--"}[connectivity], "linewidth": 0.8}
            axes.axvline(ceiling, **line, label=f"maximum likelihood, {connectivity} neighbours")
        values = np.array([fit.record["held_out"]["log_likelihood"] for fit in chosen])
        places = np.array([labels.index(estimator_label(fit)) for fit in chosen])
        near = values > least
        axes.plot(
            values[near], places[near], linestyle="none", label=f"{connectivity} neighbours", markersize=5, **look
        )
        shift = 0.2 if connectivity == 8 else -0.2  # the arrows of both at the edge, one above the other
        arrow = look | {"marker": "<"}
        axes.plot(np.full(np.sum(~near), least), places[~near] + shift, linestyle="none", markersize=4, **arrow)


@style.style()
def gain_map(fits: list[Fit]) -> Figure:
    """Where in the image the further neighbours help: the gain in log p(pixel | all others), nats per test image."""
    found = [gain for gain in best_gains(fits) if "conditional_log_likelihood" in gain.eight.arrays]
    shape = found[0].eight.arrays["mean"].shape
    figure = style.new_figure(style.panel_height(shape, 2.2) + 0.65)
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, gain in zip(panels, found, strict=True):
        field = gain.eight.arrays["conditional_log_likelihood"] - gain.four.arrays["conditional_log_likelihood"]
        picture = style.signed_map(axes, field, np.quantile(abs(field), 0.995) or 1.0)
        style.map_axes(axes)
        axes.set_title(f"{estimator_label(gain.eight)}, {gain.eight.record['weights'].replace('_', '-')} weights")
        figure.colorbar(picture, ax=axes, fraction=0.046, extend="both", label="nats per pixel; dashed: < 0")
    return figure
