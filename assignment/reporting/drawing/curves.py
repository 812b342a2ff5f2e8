"""Figures of how a fit was trained, by step or by stage, and of how well its classifier tells data from noise."""

import numpy as np
from matplotlib.figure import Figure

from assignment.reporting.drawing.style import BLUE, CEILING, EXACT, LEARNED, SKY, VERMILION, new_figure, style
from assignment.reporting.numbers import below, signed

_STAGE = "stage (0: the diagonal noise)"


@style()
def training(loss: np.ndarray, *constant: np.ndarray) -> Figure:
    """The loss [S] by step; where log Z is learned also `constant`: c [S], some of the steps, the exact log Z there."""
    figure = new_figure(2.2)
    axes, *right = np.atleast_1d(figure.subplots(1, 2 if constant else 1))
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
    for axes in right:
        learned, exact_steps, exact = constant
        axes.plot(np.arange(1, len(learned) + 1), learned, **LEARNED, marker="", label="learned, $c$")
        axes.plot(exact_steps, exact, **EXACT, marker="x", label=r"exact, $\log Z(\Lambda)$")
        axes.set(xlabel="step", ylabel=r"$\log Z$ (nats)", title="its constant")
        axes.legend()
    return figure


@style()
def log_ratios(data: np.ndarray, noise: np.ndarray, decision: float = 0.0) -> Figure:
    """Histograms of the log-ratio G on data images and on noise images, which `decision`, log ν, divides."""
    figure = new_figure(2.2)
    axes = figure.subplots()
    bins = np.linspace(*np.quantile(np.concatenate([data, noise]), [0.001, 0.999]), 61)
    looks = {"histtype": "stepfilled", "linestyle": "-"}
    for values, words, look in (
        (data, "data", {"facecolor": SKY, "edgecolor": BLUE}),
        (noise, "noise", {"facecolor": "none", "edgecolor": VERMILION, "hatch": "////"}),
    ):
        axes.hist(values, bins, weights=np.full(len(values), 1 / len(values)), label=words, **looks, **look)
    axes.axvline(decision, color="black", linewidth=0.6, linestyle=":")
    wrong = (np.sum(data < decision) + np.sum(noise >= decision)) / (len(data) + len(noise))
    title = f"{100 * wrong:.2g} % on the wrong side of {decision:.3g}"
    if data.min() > noise.max():
        title = f"separable, but {title}" if wrong else "perfectly separated"
    axes.set(xlabel="log-ratio $G$ (nats)", ylabel="share of images", title=title)
    axes.legend()
    return figure


@style()
def log_partition_by_stage(learned: np.ndarray, standard_error: np.ndarray, exact: np.ndarray) -> Figure:
    """The constant of telescoped NCE by stage, [T + 1], beside the exact log Z, and the difference of the two."""
    figure = new_figure(2.2)
    panels = figure.subplots(1, 2)
    _constant_and_error(*panels, learned, standard_error, exact)
    for axes in panels:
        axes.set_xlabel(_STAGE)
    return figure


@style()
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
    figure = new_figure(4.0)
    panels = figure.subplots(2, 2, sharex=True)
    _constant_and_error(*panels[:, 0], learned, standard_error, exact)
    classifier, nats = panels[:, 1]
    stage = np.arange(1, len(overlap) + 1)
    classifier.plot(stage, overlap, color=BLUE, linestyle="-", marker="")
    classifier.set(ylabel="overlap, solid (1: undecided)", ylim=(0, 1.05), title="the classifier of each stage")
    twin = classifier.twinx()
    twin.spines["right"].set_visible(True)
    twin.plot(stage, spread, color=VERMILION, linestyle="--", marker="")
    twin.set(ylabel="spread of $G$, dashed (nats)", ylim=(0, 1.1 * spread.max()))
    nats.plot(held_out, **LEARNED, marker="", label="test images")
    nats.axhline(ceiling, **CEILING, label="maximum likelihood")
    nats.set(ylabel="nats per test image", title=f"held out; at the end {below(ceiling - held_out[-1])} the ceiling")
    nats.legend(loc="lower right")
    for axes in panels[1]:
        axes.set_xlabel(_STAGE)
    return figure


def _constant_and_error(constant, error, learned, standard_error, exact):
    """c by stage beside the exact log Z, and c − log Z in a band of twice its standard error."""
    constant.plot(learned, **LEARNED, marker="", label="learned, $c$")
    constant.plot(exact, **EXACT, marker="", label=r"exact, $\log Z$")
    constant.set(ylabel=r"$\log Z$ (nats)", title="the constant, telescoped")
    constant.legend()
    band = {"color": SKY, "alpha": 0.4, "linewidth": 0, "label": "± 2 standard errors"}
    error.fill_between(range(len(learned)), -2 * standard_error, 2 * standard_error, **band)
    error.plot(learned - exact, **LEARNED, marker="")
    error.axhline(0, **EXACT)
    at_the_end = f"{signed(learned[-1] - exact[-1])} ± {standard_error[-1]:.3f}"
    error.set(ylabel="learned − exact (nats)", title=f"its error by stages; at the end {at_the_end}")
    error.legend(loc="lower left")
