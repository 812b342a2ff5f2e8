"""Figures that set several fits side by side."""

import numpy as np
from matplotlib.figure import Figure

from assignment.reporting import labels
from assignment.reporting.drawing import style
from assignment.reporting.drawing.images import grey, grey_limits, mosaic, mosaic_shape, sample_scale
from assignment.reporting.numbers import signed, uncertain
from assignment.reporting.selection import Gain, gains
from assignment.results import Fit


@style.style()
def sample_panel(fits: list[Fit]) -> Figure:
    """Samples of every estimator in rows, of every model family in columns, below training images.

    A dagger marks fits that did not converge. Samples that leave the data's grey scale have one of their own.
    """
    families, rows, data = list(labels.by_family(fits)), _rows(fits), fits[0].arrays["data"]
    width, ratio = 5.1 / len(families), data.shape[2] / data.shape[1]
    count = int(np.clip(round(width / (0.45 * ratio)), 1, 10))
    strip = max(width / (count * ratio), 0.2)
    figure = style.new_figure(0.3 + 0.3 * (len(families) > 1) + (len(rows) + 1) * (strip + 0.06))
    panels = figure.subplots(len(rows) + 1, len(families), squeeze=False)
    limits = grey_limits(data)
    for axes, name in zip(panels[0], families, strict=True):
        title = labels.family_label(name).replace(", ", "\n") if len(families) > 1 else ""
        grey(axes, mosaic(data, 1, count), limits, title)
    for fit in fits:
        axes = panels[1 + rows.index(labels.estimator_label(fit)), families.index(labels.family(fit))]
        own, words = sample_scale(fit.arrays["samples"], limits)
        grey(axes, mosaic(fit.arrays["samples"], 1, count), own)
        if words:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(0.99, 0.06, words, transform=axes.transAxes, ha="right", va="bottom", fontsize=7, bbox=box)
    for axes in panels.flat:
        axes.set_anchor("W")  # Where an image is narrower than its place, its label must not move with it.
        if not axes.images:
            axes.set_axis_off()
    ended = {labels.estimator_label(fit) for fit in fits if labels.ending(fit)}
    for axes, label in zip(panels[:, 0], ["training images", *rows], strict=True):
        axes.set_ylabel(label + " †" * (label in ended), rotation=0, ha="right", va="center")
    if ended:
        figure.supxlabel("† not converged; see the table's notes", fontsize=8)
    return figure


def _rows(fits):
    """The estimators of the fits, each once, in reading order."""
    return list(dict.fromkeys(map(labels.estimator_label, labels.in_order(fits))))


@style.style()
def showcase(fits: list[Fit]) -> Figure:
    """The model at its best: training images, samples of the telescoped fit of each family, their log Z by stage."""
    data = fits[0].arrays["data"]
    rows, columns = mosaic_shape(9, data.shape)
    height = style.panel_height((rows * data.shape[1], columns * data.shape[2]), 1.5)
    figure = style.new_figure(2 * max(height, 1.2) + 0.7)
    *panels, last = figure.subplots(2, 3).flat
    words = ["training images", *(f"{labels.short_family_label(fit)} neighbours" for fit in fits)]
    stacks = [data, *(fit.arrays["samples"] for fit in fits)]
    for axes, images, title in zip(panels, stacks, words, strict=True):
        grey(axes, mosaic(images, rows, columns), grey_limits(data), title)
    for fit in fits:
        label = f"{labels.short_family_label(fit)}: {signed(fit.record['log_partition']['gap'])}"
        last.plot(fit.arrays["stage_learned"], marker="", label=label)
    last.set(xlabel="stage", title=r"learned $\log Z$, its error (nats)")
    low, high = last.get_ylim()
    last.set_ylim(low - 0.8 * (high - low), high)  # room for the legend
    last.legend(fontsize=7, loc="lower left", handlelength=2)
    return figure


@style.style()
def scan(fits: list[Fit]) -> Figure:
    """Loss and distance to the ceiling against ε, for fits of one family that scanned it."""
    figure = style.new_figure(2.3)
    left, right = figure.subplots(1, 2)
    for fit in fits:
        epsilon, ceiling = fit.arrays["epsilon"], fit.record["held_out"]["maximum_likelihood"]
        left.plot(epsilon, fit.arrays["epsilon_loss"], label=labels.estimator_label(fit))
        right.plot(epsilon, ceiling - fit.arrays["epsilon_held_out"])
    right.set_yscale("symlog", linthresh=0.1)
    right.axhline(0, **style.CEILING)
    left.set(xscale="log", xlabel=r"$\varepsilon$", ylabel="loss", title="loss")
    right.set(xscale="log", xlabel=r"$\varepsilon$", ylabel="nats per test image")
    right.set_title(f"test nats below the ceiling of {ceiling:.2f}")
    left.legend()
    return figure


@style.style()
def neighbourhoods(fits: list[Fit]) -> Figure:
    """Test nats of 4- and 8-connected fits, estimator by estimator, with the gain of the further neighbours."""
    gained, rows = gains(fits), _rows(fits)
    kinds = list(dict.fromkeys(weights for weights, _ in labels.by_family(fits)))
    figure = style.new_figure(1.1 + 0.23 * len(rows))
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        _dumbbells(axes, [fit for fit in fits if fit.record["weights"] == kind], rows)
        axes.set(xlabel="nats per test image (arrow: further left)", title=f"{kind.replace('_', '-')} weights")
        beside = {
            rows.index(labels.estimator_label(gain.eight)): uncertain(gain.mean, gain.standard_error)
            for gain in gained
            if gain.eight.record["weights"] == kind
        }
        if beside:
            beside[-0.9] = "gain"
        for place, words in beside.items():
            axes.text(1.02, place, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].set_ylim(len(rows) - 0.5, -0.6)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _dumbbells(axes, fits, rows):
    """Points of the fits of one weighting; those far to the left as arrows at the edge, or nothing else would show."""
    ceilings = [fit.record["held_out"]["maximum_likelihood"] for fit in fits]
    least = min(ceilings) - 1.5 * max(np.ptp(ceilings), 0.05 * abs(min(ceilings)))
    for connectivity, dashes, shift, look in (
        (4, ":", -0.2, {"color": style.BLUE, "marker": "o", "fillstyle": "none"}),
        (8, "--", 0.2, {"color": style.VERMILION, "marker": "s"}),
    ):
        chosen = [fit for fit in fits if fit.record["connectivity"] == connectivity]
        for ceiling in {fit.record["held_out"]["maximum_likelihood"] for fit in chosen}:
            words = f"maximum likelihood, {connectivity} neighbours"
            axes.axvline(ceiling, color=look["color"], linestyle=dashes, linewidth=0.8, label=words)
        values = np.array([fit.record["held_out"]["log_likelihood"] for fit in chosen])
        places = np.array([rows.index(labels.estimator_label(fit)) for fit in chosen])
        near, words = values > least, f"{connectivity} neighbours"
        axes.plot(values[near], places[near], linestyle="none", label=words, markersize=5, **look)
        # The arrows of both neighbourhoods stand one above the other.
        arrows = look | {"marker": "<", "linestyle": "none", "markersize": 4}
        axes.plot(np.full(np.sum(~near), least), places[~near] + shift, **arrows)


@style.style()
def gain_map(found: list[Gain]) -> Figure:
    """Where in the image the further neighbours help: the gain in log p(pixel | all others), nats per test image."""
    shape = found[0].eight.arrays["mean"].shape
    figure = style.new_figure(style.panel_height(shape, 2.2) + 0.65)
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, gain in zip(panels, found, strict=True):
        field = gain.eight.arrays["conditional_log_likelihood"] - gain.four.arrays["conditional_log_likelihood"]
        title = f"{labels.estimator_label(gain.eight)}, {gain.eight.record['weights'].replace('_', '-')} weights"
        picture = style.signed_map(axes, field, np.quantile(abs(field), 0.995) or 1.0, title)
        figure.colorbar(picture, ax=axes, fraction=0.046, extend="both", label="nats per pixel; dashed: < 0")
    return figure
