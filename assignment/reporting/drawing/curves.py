"""Figures of how a fit was trained, and of how well its classifier tells data from noise."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assignment.reporting.drawing.style import BLUE, EXACT, LEARNED, SKY, VERMILION, new_figure, style
from assignment.reporting.numbers import signed


@style()
def training(
    loss: np.ndarray,
    learned: np.ndarray | None = None,
    exact_steps: np.ndarray | None = None,
    exact: np.ndarray | None = None,
) -> Figure:
    """The loss [S] by step and, where log Z is learned, its c [S] beside the exact log Z at some of the steps."""
    figure = new_figure(2.2)
    panels = np.atleast_1d(figure.subplots(1, 1 if learned is None else 2))
    _loss(panels[0], loss)
    if learned is not None:
        _log_partition(panels[1], learned, exact_steps, exact)
    return figure


def _loss(axes, loss):
    steps, words = np.arange(1, len(loss) + 1), "training loss"
    if len(loss) <= 60:
        axes.plot(steps, loss, color=BLUE, marker="o", linestyle="-")
    else:
        axes.plot(steps, loss, color=BLUE, linewidth=0.4, alpha=0.35, marker="", linestyle="-")
        window = max(len(loss) // 25, 5)
        words += f" (thick: mean of {window} steps)"
        mean = np.convolve(loss, np.full(window, 1 / window), mode="valid")
        axes.plot(steps[window - 1 :], mean, color=BLUE, marker="", linestyle="-")
    if loss.min() > 0 and loss.max() > 30 * loss.min():
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(loss.min(), 1e-7 * loss.max()))
    axes.set(xlabel="step", ylabel="loss", title=words)


def _log_partition(axes, learned, steps, exact):
    axes.plot(np.arange(1, len(learned) + 1), learned, **LEARNED, marker="", label="learned, $c$")
    axes.plot(steps, exact, **EXACT, marker="x" if len(steps) < 60 else "", label=r"exact, $\log Z(\Lambda)$")
    axes.set(xlabel="step", ylabel=r"$\log Z$ (nats)", title="its constant")
    axes.legend()


@style()
def log_ratios(data: np.ndarray, noise: np.ndarray) -> Figure:
    """Histograms of the log-ratio G on data images and on noise images."""
    figure = new_figure(2.2)
    axes = figure.subplots()
    low, high = np.quantile(np.concatenate([data, noise]), [0.001, 0.999])
    bins = np.linspace(low, high, 61)
    looks = {
        "data": {"facecolor": SKY, "edgecolor": BLUE},
        "noise": {"facecolor": "none", "edgecolor": VERMILION, "hatch": "////"},
    }
    for (words, look), values in zip(looks.items(), (data, noise), strict=True):
        share = np.full(len(values), 1 / len(values))
        axes.hist(values, bins, weights=share, histtype="stepfilled", linestyle="-", label=words, **look)
    axes.axvline(0, color="black", linewidth=0.6, linestyle=":")
    axes.set(xlabel="log-ratio $G$ (nats)", ylabel="share of images", title=_separation(data, noise))
    axes.legend()
    return figure


def _separation(data, noise):
    wrong = (np.sum(data < 0) + np.sum(noise >= 0)) / (len(data) + len(noise))
    words = ["perfectly separated"] if data.min() > noise.max() else []
    return "; ".join(words + ([f"{100 * wrong:.2g} % on the wrong side of 0"] if wrong or not words else []))


@style()
def log_partition_by_stage(learned: np.ndarray, standard_error: np.ndarray, exact: np.ndarray | None = None) -> Figure:
    """The constant of telescoped NCE by stage, [T], with its standard error and, where given, the exact log Z."""
    figure = new_figure(2.2)
    panels = np.atleast_1d(figure.subplots(1, 1 if exact is None else 2))
    draw_constant(panels[0], learned, exact)
    if exact is not None:
        draw_error(panels[1], learned - exact, standard_error)
    for axes in panels:
        axes.set_xlabel("stage (0: the diagonal noise)")
    return figure


def draw_constant(axes: Axes, learned: np.ndarray, exact: np.ndarray | None) -> None:
    """c by stage, beside the exact log Z."""
    stage = np.arange(len(learned))
    axes.plot(stage, learned, **LEARNED, marker="", label="learned, $c$")
    if exact is not None:
        axes.plot(stage, exact, **EXACT, marker="", label=r"exact, $\log Z$")
    axes.set(ylabel=r"$\log Z$ (nats)", title="the constant, telescoped")
    axes.legend()


def draw_error(axes: Axes, residual: np.ndarray, standard_error: np.ndarray) -> None:
    """c − log Z by stage, in a band of twice its standard error."""
    stage = np.arange(len(residual))
    band = {"color": SKY, "alpha": 0.4, "linewidth": 0, "label": "± 2 standard errors"}
    axes.fill_between(stage, -2 * standard_error, 2 * standard_error, **band)
    axes.plot(stage, residual, **LEARNED, marker="")
    axes.axhline(0, **EXACT)
    axes.set(ylabel="learned − exact (nats)")
    axes.set_title(f"its error; at the end {signed(residual[-1])} ± {standard_error[-1]:.3f}")
    axes.legend(loc="lower left")
