"""Figures that set several fits side by side."""

import numpy as np

from assignment.reporting.drawing.images import grey_limits, mosaic
from assignment.reporting.drawing.style import (
    BLUE,
    CEILING,
    INK,
    VERMILION,
    hide_axes,
    map_axes,
    new_figure,
    signed_map,
)
from assignment.reporting.gains import best_gains, gains
from assignment.reporting.labels import by_family, data_label, estimator_label, family, family_label, trouble


def sample_panel(fits):
    """Samples of every estimator in rows, of every model family in columns, below training images.

    A dagger marks fits that did not simply converge.
    """
    groups = by_family(fits)
    labels = list(dict.fromkeys(estimator_label(fit) for group in groups.values() for fit in group))
    strips = {(family(fit), estimator_label(fit)): fit for fit in fits}
    count = {1: 10, 2: 6, 3: 4}.get(len(groups), 3)
    height = 1.0 + (len(labels) + 1) * 5.1 / len(groups) / count
    figure = new_figure(height, f"samples · {data_label(fits[0])}")
    panels = figure.subplots(len(labels) + 1, len(groups), squeeze=False)
    limits = grey_limits(fits[0].arrays["data"])
    for column, name in zip(panels.T, groups, strict=True):
        column[0].set_title(family_label(name).replace(", ", "\n"))
        _strip(column[0], next(iter(groups[name])).arrays["data"], count, limits)
        for axes, label in zip(column[1:], labels, strict=True):
            fit = strips.get((name, label))
            _strip(axes, fit.arrays["samples"] if fit else None, count, limits)
    for axes, label in zip(panels[:, 0], ["training images", *labels], strict=True):
        ended = any(trouble(fit) for fit in fits if estimator_label(fit) == label)
        axes.set_ylabel(label + " †" * ended, rotation=0, ha="right", va="center")
    if any(trouble(fit) for fit in fits):
        figure.supxlabel("† did not simply converge: see the table", fontsize=7)
    return figure


def _strip(axes, images, count, limits):
    hide_axes(axes)
    if images is None:
        axes.set_axis_off()
    else:
        axes.imshow(mosaic(images, 1, count), cmap=INK, vmin=limits[0], vmax=limits[1])


def scan(fits):
    """Loss and distance to the ceiling against ε, for fits of one family that scanned it."""
    figure = new_figure(2.5, f"{family_label(family(fits[0]))} · {data_label(fits[0])}")
    left, right = figure.subplots(1, 2)
    for fit in fits:
        epsilon, ceiling = fit.arrays["epsilon"], fit.record["held_out"]["maximum_likelihood"]
        left.plot(epsilon, fit.arrays["epsilon_loss"], label=estimator_label(fit))
        right.plot(epsilon, ceiling - fit.arrays["epsilon_held_out"], label=estimator_label(fit))
    right.set_yscale("symlog", linthresh=0.1)
    right.axhline(0, **CEILING)
    for axes in (left, right):
        axes.set(xscale="log", xlabel=r"$\varepsilon$")
    left.set(ylabel="loss", title="loss")
    right.set(ylabel="nats per test image", title=f"test nats below the ceiling of {ceiling:.2f}")
    left.legend()
    return figure


def neighbourhoods(fits):
    """Test nats of 4- and 8-connected fits, estimator by estimator, with what the further neighbours bought."""
    bought = {(gain.eight.record["weights"], estimator_label(gain.eight)): gain for gain in gains(fits)}
    kinds = list(dict.fromkeys(name[0] for name in by_family(fits)))
    labels = list(dict.fromkeys(estimator_label(fit) for group in by_family(fits).values() for fit in group))
    figure = new_figure(1.4 + 0.25 * len(labels), f"4 and 8 neighbours · {data_label(fits[0])}")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        _dumbbells(axes, [fit for fit in fits if fit.record["weights"] == kind], labels)
        for place, label in enumerate(labels):
            if gain := bought.get((kind, label)):
                words = f"{gain.mean:+.2f} ± {gain.standard_error:.2f}".replace("-", "−")
                axes.text(1.02, place, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        axes.set(xlabel="nats per test image", title=f"{kind.replace('_', '-')} weights")
        if any(key[0] == kind for key in bought):
            axes.text(1.02, -1, "gain", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].set_ylim(len(labels) - 0.5, -0.6)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _dumbbells(axes, fits, labels):
    looks = {4: {"color": BLUE, "marker": "o", "fillstyle": "none"}, 8: {"color": VERMILION, "marker": "s"}}
    for connectivity, look in looks.items():
        chosen = [fit for fit in fits if fit.record["connectivity"] == connectivity]
        for ceiling in {fit.record["held_out"]["maximum_likelihood"] for fit in chosen}:
            line = {"color": look["color"], "linestyle": {4: ":", 8: "--"}[connectivity], "linewidth": 0.8}
            axes.axvline(ceiling, **line, label=f"maximum likelihood, {connectivity} neighbours")
        values = [fit.record["held_out"]["log_likelihood"] for fit in chosen]
        places = [labels.index(estimator_label(fit)) for fit in chosen]
        axes.plot(values, places, linestyle="none", label=f"{connectivity} neighbours", markersize=5, **look)


def gain_map(fits):
    """Where in the image the further neighbours help: the gain in log p(pixel | all others), nats per test image."""
    found = [gain for gain in best_gains(fits) if "conditional_log_likelihood" in gain.eight.arrays]
    figure = new_figure(2.9, f"gain in conditional log-likelihood, 8 over 4 neighbours · {data_label(fits[0])}")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, gain in zip(panels, found, strict=True):
        field = gain.eight.arrays["conditional_log_likelihood"] - gain.four.arrays["conditional_log_likelihood"]
        limit = np.quantile(abs(field), 0.995)
        picture = signed_map(axes, field, limit)
        map_axes(axes)
        axes.set_title(f"{estimator_label(gain.eight)}, {gain.eight.record['weights'].replace('_', '-')} weights")
        figure.colorbar(picture, ax=axes, fraction=0.046, extend="both", label="nats per pixel; dashed: < 0")
    return figure
