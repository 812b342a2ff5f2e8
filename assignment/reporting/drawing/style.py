"""One look for all figures: readable in print, without colour, and the same bytes every time."""

import contextlib
import io
import logging
from pathlib import Path

import matplotlib.style
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from assignment.results import write_whole

WIDTH = 6.3  # inches: the text width of the report
# Okabe & Ito's palette.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = "#000000 #E69F00 #56B4E9 #009E73 #0072B2 #D55E00 #CC79A7".split()
LINES = cycler(color=[BLUE, VERMILION, GREEN, ORANGE, PURPLE, BLACK]) + cycler(
    linestyle=["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2))], marker=["o", "s", "^", "D", "v", "x"]
)
EXACT = {"color": BLACK, "linestyle": "--", "linewidth": 1.0}
LEARNED = {"color": BLUE, "linestyle": "-", "linewidth": 1.3}
CEILING = {"color": VERMILION, "linestyle": (0, (6, 2)), "linewidth": 1.0}
SIGNED = "PuOr_r"
UNSIGNED = "cividis"
INK = "gray_r"  # digits dark on white paper
# It warns of the dates within matplotlib's own fonts.
logging.getLogger("fontTools.ttLib.tables._h_e_a_d").setLevel(logging.ERROR)

_RULES = {
    "font.family": "STIXGeneral",  # goes with LaTeX text, and embeds six times faster than the default
    "font.size": 9,
    "axes.titlesize": 9,
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


def style() -> contextlib.AbstractContextManager[None]:
    """A context, or a decorator, in which figures have this package's look, whatever the user's own settings are."""
    return matplotlib.style.context(["default", _RULES])


class Picture(Figure):
    """A figure without a window, which notebooks show as a picture whatever the backend."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        with style():  # Ticks are made when they are drawn.
            self.savefig(file, format="png", dpi=110)
        return file.getvalue()


def new_figure(height: float) -> Figure:
    """A figure as wide as the text and `height` inches high."""
    return Picture(figsize=(WIDTH, height), layout="constrained")


def panel_height(shape: tuple[int, ...], width: float) -> float:
    """Inches that an image [..., H, W] needs where it is at most `width` inches wide, within reason."""
    return float(np.clip(width * shape[-2] / shape[-1], 0.25, 1.6 * width))


def signed_map(axes: Axes, field: np.ndarray, limit: float, title: str) -> AxesImage:
    """An image in two colours about zero, with lines at a quarter of the scale: solid above zero, dashed below.

    The lines tell the signs apart where there is no colour.
    """
    map_axes(axes, title)
    picture = axes.imshow(field, cmap=SIGNED, vmin=-limit, vmax=limit)
    for level, line in ((-limit / 4, "--"), (limit / 4, "-")):
        if min(field.shape) > 1 and np.nanmin(field) < level < np.nanmax(field):
            axes.contour(np.ma.masked_invalid(field), [level], colors="black", linewidths=0.5, linestyles=line)
    return picture


def map_axes(axes: Axes, title: str) -> None:
    """Axes of an image whose rows and columns matter: labelled, without a frame."""
    axes.set(xlabel="column", ylabel="row", title=title)
    axes.spines[:].set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=4, integer=True))


def hide_axes(axes: Axes) -> None:
    """Takes ticks and frame from the axes of an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


@style()
def save(figure: Figure, stem: str | Path, title: str | None = None) -> list[Path]:
    """Writes a figure as `stem`.pdf and `stem`.png, the latter with a title; returns the two paths.

    The PDF has none: the report's caption says what it is.
    """
    pdf, png = Path(f"{stem}.pdf"), Path(f"{stem}.png")
    write_whole(pdf, lambda file: figure.savefig(file, format="pdf", metadata={"CreationDate": None}))
    figure.set_layout_engine(None)  # Laid out is half of what drawing takes: the axes stay where they are.
    width, height = figure.get_size_inches()
    if title:
        figure.suptitle(title, x=0.01, y=1.0, ha="left", va="bottom")
    whole = Bbox.from_extents(0, 0, width, height + (0.25 if title else 0))
    write_whole(png, lambda file: figure.savefig(file, format="png", bbox_inches=whole))
    return [pdf, png]
