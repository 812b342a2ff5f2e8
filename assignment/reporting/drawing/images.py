"""Figures of images: samples beside data, Λ's weights, covariances."""

from __future__ import annotations

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
    height = style.panel_height((rows * data.shape[1], columns * data.shape[2]), 2.6)
    figure = style.new_figure(height + 0.35)
    panels = figure.subplots(1, 2)
    limits = grey_limits(data)
    own = sample_limits(drawn, limits)
    words = ("training images, with noise", "samples of the fit" + own_scale(own, limits))
    pictures = []
    for axes, images, scale, name in zip(panels, (data, drawn), (limits, own), words, strict=True):
        pictures.append(grey(axes, mosaic(images, rows, columns), scale))
        axes.set_title(name)
    shared = {"fraction": 0.025, "pad": 0.01, "extend": "both"}
    if own is limits:
        figure.colorbar(pictures[0], ax=panels, label="pixel value", **shared)
    else:
        for axes, picture in zip(panels, pictures, strict=True):
            figure.colorbar(picture, ax=axes, **shared)
    return figure


def grey(axes: Axes, image: np.ndarray, limits: np.ndarray) -> AxesImage:
    """Draws an image in a grey scale, without ticks and frame."""
    style.hide_axes(axes)
    return axes.imshow(image, cmap=style.INK, vmin=limits[0], vmax=limits[1])


def grey_limits(images: np.ndarray) -> np.ndarray:
    """The grey scale that shows nearly all of the images."""
    return np.quantile(images, [0.001, 0.999])


def sample_limits(drawn: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The data's grey scale, `limits`, or one of their own for samples that leave it."""
    own = grey_limits(drawn)
    return own if np.ptp(own) > _OWN_SCALE * np.ptp(limits) else limits


def own_scale(own: np.ndarray, limits: np.ndarray) -> str:
    """Words for samples with a grey scale of their own; "" for those in that of the data."""
    return "" if own is limits else f", scale × {rough(np.ptp(own) / np.ptp(limits))}"


def mosaic_shape(count: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns in which `count` images [..., H, W] make about a square."""
    columns = int(np.clip(round(np.sqrt(count * shape[-2] / shape[-1])), 1, count))
    return -(-count // columns), columns


def mosaic(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The first images of a stack [S, H, W] in a grid, a pixel apart; blank where there are not enough."""
    height, width = images.shape[1:]
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for k, image in enumerate(images[: rows * columns]):
        top, left = (k // columns) * (height + 1), (k % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = image
    return sheet


@style.style()
def weights(diagonal: np.ndarray, couplings: np.ndarray) -> Figure:
    """Λ's weights: the stencil as a grid where they are shared, maps over the image where each edge has its own.

    Args:
      diagonal, couplings: shared: [], [K]; per-edge: [H, W], [K, H, W].
    """
    directions = offsets(2 * len(couplings))
    return (_weight_maps if np.ndim(diagonal) else _stencil)(diagonal, couplings, directions)


def _stencil(diagonal, couplings, directions):
    figure = style.new_figure(2.4)
    left, right = figure.subplots(1, 2)
    edges = dict(zip(directions, couplings, strict=True))
    _stencil_grid(figure, left, diagonal, edges)
    _symbol(figure, right, diagonal, edges)
    return figure


def _stencil_grid(figure, axes, diagonal, edges):
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
    if symbol.min() < 0:
        axes.contour(frequency, frequency, symbol, [0], colors="white", linewidths=0.8)
    axes.set_title("its eigenvalues by frequency" + ("; white: 0" if symbol.min() < 0 else ""))
    axes.set(xlabel="radians per column", ylabel="radians per row")
    ticks = [-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"]
    axes.set_xticks(*ticks)
    axes.set_yticks(*ticks)
    figure.colorbar(picture, ax=axes, label="eigenvalue")


def _weight_maps(diagonal, couplings, directions):
    rows = 1 if len(directions) == 2 else 2
    figure = style.new_figure(rows * (style.panel_height(diagonal.shape, 1.5) + 0.55))
    panels = list(figure.subplots(rows, 3).flat)
    _weight_map(figure, panels[0], diagonal, None, r"diagonal, $\Lambda_{ii}$")
    limit = np.quantile(abs(couplings), 0.995) or 1.0
    for axes, offset, values in zip(panels[1:], directions, couplings, strict=False):
        inside = np.full(values.shape, np.nan)
        inside[edge_ends(offset)[0]] = values[edge_ends(offset)[0]]
        _weight_map(figure, axes, inside, limit, f"edges {DIRECTIONS[offset]} (dashed: < 0)")
    for axes in panels[1 + len(directions) :]:
        axes.set_visible(False)
    return figure


def _weight_map(figure, axes, values, limit, words):
    picture = axes.imshow(values, cmap=style.UNSIGNED) if limit is None else style.signed_map(axes, values, limit)
    axes.set_title(words)
    style.map_axes(axes)
    figure.colorbar(picture, ax=axes, fraction=0.046, extend="neither" if limit is None else "both")


@style.style()
def covariance(pixel: np.ndarray, fitted: np.ndarray, empirical: np.ndarray) -> Figure:
    """The fitted covariance [H, W] of one pixel (row, column) with all others, the empirical one, their difference."""
    row, column = map(int, pixel)
    figure = style.new_figure(style.panel_height(fitted.shape, 1.75) + 0.75)
    panels = figure.subplots(1, 3, sharey=True)
    limit = np.max(np.abs([fitted, empirical]))
    fields = {"of the fit": fitted, "of the training images": empirical, "fit − images": fitted - empirical}
    for axes, (words, field) in zip(panels, fields.items(), strict=True):
        picture = style.signed_map(axes, field, limit)
        axes.plot(column, row, marker="+", color="black", markersize=6, linestyle="none")
        axes.set_title(words)
        style.map_axes(axes)
        axes.label_outer()
    figure.colorbar(picture, ax=panels, fraction=0.02, pad=0.01, label="covariance; dashed: < 0")
    return figure
