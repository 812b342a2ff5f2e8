"""Figures of images: samples beside data, Λ's weights, covariances."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from assignment.lattice.stencil import DIRECTIONS, edge_ends, offsets
from assignment.reporting.drawing import style
from assignment.reporting.numbers import rough

# Samples whose range is this many times that of the data get a grey scale of their own.
_OWN_SCALE = 1.8


@style.style()
def samples(data: np.ndarray, drawn: np.ndarray) -> Figure:
    """Training images [S, H, W] beside samples [S, H, W], in one grey scale unless the samples leave it."""
    rows, columns = mosaic_shape(16, data.shape)
    figure = style.new_figure(style.panel_height((rows * data.shape[1], columns * data.shape[2]), 2.6) + 0.35)
    panels = figure.subplots(1, 2)
    limits = grey_limits(data)
    own, words = sample_scale(drawn, limits)
    pictures = [
        grey(panels[0], mosaic(data, rows, columns), limits, "training images, with noise"),
        grey(panels[1], mosaic(drawn, rows, columns), own, f"samples of the fit{words and ', '}{words}"),
    ]
    for picture, beside in zip(pictures, panels, strict=True) if words else [(pictures[0], panels)]:
        figure.colorbar(picture, ax=beside, label="pixel value", fraction=0.025, pad=0.01, extend="both")
    return figure


@style.style()
def stage_samples(drawn: np.ndarray, at: np.ndarray, data: np.ndarray) -> Figure:
    """Samples [n, H, W] of the model at stages `at` [n], in a row, and the first of the training images `data`."""
    figure = style.new_figure(style.panel_height(data.shape, style.WIDTH / (len(at) + 1)) + 0.3)
    words = [*(f"stage {int(stage)}" for stage in at), "training image"]
    for axes, picture, name in zip(figure.subplots(1, len(words)), [*drawn, data[0]], words, strict=True):
        grey(axes, picture, grey_limits(data), name)
    return figure


def grey(axes: Axes, image: np.ndarray, limits: np.ndarray, title: str = "") -> AxesImage:
    """Draws an image in a grey scale, without ticks and frame."""
    style.hide_axes(axes)
    axes.set_title(title)
    return axes.imshow(image, cmap=style.INK, vmin=limits[0], vmax=limits[1])


def grey_limits(images: np.ndarray) -> np.ndarray:
    """The grey scale that shows nearly all of the images."""
    return np.quantile(images, [0.001, 0.999])


def sample_scale(drawn: np.ndarray, limits: np.ndarray) -> tuple[np.ndarray, str]:
    """The data's grey scale `limits` and "", or for samples that leave it one of their own, and words for its size."""
    own = grey_limits(drawn)
    if np.ptp(own) <= _OWN_SCALE * np.ptp(limits):
        return limits, ""
    return own, f"scale × {rough(np.ptp(own) / np.ptp(limits))}"


def mosaic_shape(count: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns in which `count` images [..., H, W] make about a square."""
    columns = int(np.clip(round(np.sqrt(count * shape[-2] / shape[-1])), 1, count))
    return -(-count // columns), columns


def mosaic(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The first images of a stack [S, H, W] in a grid, a pixel apart; blank where there are not enough."""
    (height, width), shown = images.shape[1:], images[: rows * columns]
    sheet = np.full((rows * columns, height + 1, width + 1), np.nan)
    sheet[: len(shown), :height, :width] = shown
    return sheet.reshape(rows, columns, height + 1, -1).swapaxes(1, 2).reshape(rows * (height + 1), -1)[:-1, :-1]


@style.style()
def weights(diagonal: np.ndarray, couplings: np.ndarray) -> Figure:
    """Λ's weights: the stencil as a grid where they are shared, maps over the image where each edge has its own.

    Args:
      diagonal, couplings: shared: [], [K]; per-edge: [H, W], [K, H, W].
    """
    edges = dict(zip(offsets(2 * len(couplings)), couplings, strict=True))
    if np.ndim(diagonal):
        return _weight_maps(diagonal, edges)
    figure = style.new_figure(2.4)
    left, right = figure.subplots(1, 2)
    _stencil(figure, left, diagonal, edges)
    _symbol(figure, right, diagonal, edges)
    return figure


def _stencil(figure, axes, diagonal, edges):
    grid = np.zeros((3, 3))
    grid[1, 1] = diagonal
    for (down, right), value in edges.items():
        grid[1 + down, 1 + right] = grid[1 - down, 1 - right] = value
    limit = abs(grid).max()
    picture = axes.imshow(grid, cmap=style.SIGNED, vmin=-limit, vmax=limit)
    for (row, column), value in np.ndenumerate(grid):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        words = f"{value:z.3f}".replace("-", "−") if value else "0"
        axes.text(column, row, words, ha="center", va="center", color=colour)
    axes.set_title(r"a row of $\Lambda$: a pixel and its neighbours")
    style.hide_axes(axes)
    figure.colorbar(picture, ax=axes, label=r"entry of $\Lambda$")


def _symbol(figure, axes, diagonal, edges):
    """The eigenvalues of the stencil on a lattice without borders, by the frequency of the wave."""
    frequency = np.linspace(-np.pi, np.pi, 121)
    rows, columns = np.meshgrid(frequency, frequency, indexing="ij")
    waves = [2 * value * np.cos(down * rows + right * columns) for (down, right), value in edges.items()]
    symbol = diagonal + np.sum(waves, axis=0)
    picture = axes.imshow(symbol, cmap=style.UNSIGNED, extent=(-np.pi, np.pi, np.pi, -np.pi))
    title = "its eigenvalues by frequency"
    if symbol.min() < 0:
        axes.contour(frequency, frequency, symbol, [0], colors="white", linewidths=0.8)
        title += "; white: 0"
    axes.set(xlabel="radians per column", ylabel="radians per row", title=title)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
    figure.colorbar(picture, ax=axes, label="eigenvalue")


def _weight_maps(diagonal, edges):
    rows = 1 if len(edges) == 2 else 2
    figure = style.new_figure(rows * (style.panel_height(diagonal.shape, 1.5) + 0.55))
    panels = list(figure.subplots(rows, 3).flat)
    style.map_axes(panels[0], r"diagonal, $\Lambda_{ii}$")
    figure.colorbar(panels[0].imshow(diagonal, cmap=style.UNSIGNED), ax=panels[0], fraction=0.046)
    limit = np.quantile(abs(np.array(list(edges.values()))), 0.995) or 1.0
    for axes, (offset, values) in zip(panels[1:], edges.items(), strict=False):
        inside = np.full(values.shape, np.nan)
        inside[edge_ends(offset)[0]] = values[edge_ends(offset)[0]]
        picture = style.signed_map(axes, inside, limit, f"edges {DIRECTIONS[offset]} (dashed: < 0)")
        figure.colorbar(picture, ax=axes, fraction=0.046, extend="both")
    for axes in panels[1 + len(edges) :]:
        axes.set_visible(False)
    return figure


@style.style()
def covariance(pixel: np.ndarray, fitted: np.ndarray, empirical: np.ndarray) -> Figure:
    """The fitted covariance [H, W] of one pixel (row, column) with all others, the empirical one, their difference."""
    row, column = map(int, pixel)
    figure = style.new_figure(style.panel_height(fitted.shape, 1.75) + 0.75)
    panels = figure.subplots(1, 3, sharey=True)
    limit = np.max(np.abs([fitted, empirical]))
    fields = {"of the fit": fitted, "of the training images": empirical, "fit − images": fitted - empirical}
    for axes, (words, field) in zip(panels, fields.items(), strict=True):
        picture = style.signed_map(axes, field, limit, words)
        axes.plot(column, row, marker="+", color="black", markersize=6, linestyle="none")
        axes.label_outer(remove_inner_ticks=True)
    figure.colorbar(picture, ax=panels, fraction=0.02, pad=0.01, label="covariance; dashed: < 0")
    return figure
