"""One look for all figures: readable in print, without colour, and the same bytes every time."""

import contextlib
import logging
from pathlib import Path

import matplotlib.style
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure

from assignment.reporting.files import write_whole

WIDTH = 6.3  # inches: the text width of the report
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000 #E69F00 #56B4E9 #009E73 #F0E442 #0072B2 #D55E00 #CC79A7".split()
)  # Okabe & Ito's palette
LINES = cycler(color=[BLUE, VERMILION, GREEN, ORANGE, PURPLE, BLACK]) + cycler(
    linestyle=["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2))], marker=["o", "s", "^", "D", "v", "x"]
)
EXACT = {"color": BLACK, "linestyle": "--", "linewidth": 1.0}
LEARNED = {"color": BLUE, "linestyle": "-", "linewidth": 1.3}
CEILING = {"color": VERMILION, "linestyle": (0, (6, 2)), "linewidth": 1.0}
SIGNED = "PuOr_r"
UNSIGNED = "cividis"
INK = "gray_r"  # digits dark on white paper

_RULES = {
    "font.family": "STIXGeneral",  # goes with LaTeX text, and embeds six times faster than the default
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.titlesize": 10,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": LINES,
    "axes.formatter.useoffset": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "image.interpolation": "nearest",
    "mathtext.fontset": "cm",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}


@contextlib.contextmanager
def style():
    """A context in which figures have this package's look, whatever the user's own settings are."""
    fonts = logging.getLogger("fontTools")
    level = fonts.level
    fonts.setLevel(logging.ERROR)  # it warns of the dates within matplotlib's own fonts
    try:
        with matplotlib.style.context(["default", _RULES]):
            yield
    finally:
        fonts.setLevel(level)


def new_figure(height, title=None):
    """A figure as wide as the text and `height` inches high, drawn without pyplot or any window."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def signed_map(axes, field, limit):
    """An image in two colours about zero, with lines at a quarter of the scale: solid above zero, dashed below.

    The lines tell the signs apart where there is no colour.
    """
    picture = axes.imshow(field, cmap=SIGNED, vmin=-limit, vmax=limit)
    for level, line in ((-limit / 4, "--"), (limit / 4, "-")):
        if min(field.shape) > 1 and np.nanmin(field) < level < np.nanmax(field):
            axes.contour(np.ma.masked_invalid(field), [level], colors="black", linewidths=0.5, linestyles=line)
    return picture


def map_axes(axes):
    """Axes of an image whose rows and columns matter: labelled, without a frame."""
    axes.set(xlabel="column", ylabel="row")
    axes.spines[:].set_visible(False)


def hide_axes(axes):
    """Takes ticks and frame from the axes of an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def files(stem):
    """The two files of a figure."""
    return Path(f"{stem}.pdf"), Path(f"{stem}.png")


def save(figure, stem, digest):
    """Writes a figure to its two files; the PDF, the last, bears the digest of what it was drawn from."""
    pdf, png = files(stem)
    write_whole(png, lambda file: figure.savefig(file, format="png"))
    figure.set_layout_engine("none")  # it is laid out now
    facts = {"CreationDate": None, "Keywords": digest}
    write_whole(pdf, lambda file: figure.savefig(file, format="pdf", metadata=facts))


def is_current(stem, digest):
    """Were the two files of a figure drawn from just this?"""
    pdf, png = files(stem)
    return pdf.is_file() and png.is_file() and digest.encode() in pdf.read_bytes()
