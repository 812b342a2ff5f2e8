"""Figures of how a fit was trained, and of how well its classifier tells data from noise."""

import numpy as np

from assignment.reporting.drawing.style import BLUE, EXACT, LEARNED, SKY, VERMILION, new_figure
from assignment.reporting.labels import title


def training(fit):
    """The loss by step and, where the estimator learns log Z, its c beside the exact log Z."""
    learns = "learned_log_partition" in fit.arrays
    figure = new_figure(2.3, title(fit))
    panels = np.atleast_1d(figure.subplots(1, 1 + learns))
    _loss(panels[0], fit.arrays["loss"])
    if learns:
        _log_partition(panels[1], fit.arrays, fit.record["log_partition"]["gap"])
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


def _log_partition(axes, arrays, gap):
    learned = arrays["learned_log_partition"]
    axes.plot(np.arange(1, len(learned) + 1), learned, **LEARNED, marker="", label="learned, $c$")
    steps, exact = arrays["exact_steps"], arrays["exact_log_partition"]
    axes.plot(steps, exact, **EXACT, marker="x" if len(steps) < 60 else "", label=r"exact, $\log Z(\Lambda)$")
    axes.set(xlabel="step", ylabel=r"$\log Z$ (nats)", title=f"its constant: learned − exact = {signed(gap)} nats")
    axes.legend()


def signed(value):
    """A difference with its sign: three places where it is small."""
    return f"{value:+.3f}".replace("-", "−") if abs(value) < 10 else f"{value:+.0f}".replace("-", "−")


def log_ratios(fit):
    """Histograms of the log-ratio G on data and on noise, at the end and, where recorded, at steps on the way."""
    arrays = fit.arrays
    pairs = {"at the end": (arrays["data_log_ratio"], arrays["noise_log_ratio"])}
    if "log_ratio_steps" in arrays:
        steps = [f"step {int(step):,}" for step in arrays["log_ratio_steps"]]
        on_data, on_noise = arrays["data_log_ratio_by_step"], arrays["noise_log_ratio_by_step"]
        pairs = dict(zip(steps, zip(on_data, on_noise, strict=True), strict=True))
    figure = new_figure(2.4, title(fit))
    panels = np.atleast_1d(figure.subplots(1, len(pairs)))
    for axes, (words, (data, noise)) in zip(panels, pairs.items(), strict=True):
        _histograms(axes, data, noise)
        axes.set_title(f"{words}: {_verdict(data, noise)}")
    panels[0].set_ylabel("share of images")
    panels[-1].legend()
    return figure


def _histograms(axes, data, noise):
    low, high = np.quantile(np.concatenate([data, noise]), [0.001, 0.999])
    bins = np.linspace(low, high, 61)
    looks = {
        "data": {"facecolor": SKY, "edgecolor": BLUE},
        "noise": {"facecolor": "none", "edgecolor": VERMILION, "hatch": "////", "linestyle": "-"},
    }
    for (words, look), values in zip(looks.items(), (data, noise), strict=True):
        share = np.full(len(values), 1 / len(values))
        axes.hist(values, bins, weights=share, histtype="stepfilled", label=words, **look)
    axes.axvline(0, color="black", linewidth=0.6, linestyle=":")
    axes.set_xlabel("log-ratio $G$ (nats)")


def _verdict(data, noise):
    wrong = (np.sum(data < 0) + np.sum(noise >= 0)) / (len(data) + len(noise))
    return "perfectly separated" if data.min() > noise.max() else f"{100 * wrong:.2g} % on the wrong side of 0"
