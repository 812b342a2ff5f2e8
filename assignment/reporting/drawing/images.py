"""Figures of images: samples beside data, Λ's weights, covariances."""

import numpy as np

from assignment.lattice.stencil import DIRECTIONS, edge_ends, offsets
from assignment.reporting.drawing.style import INK, SIGNED, UNSIGNED, hide_axes, map_axes, new_figure, signed_map
from assignment.reporting.labels import title


def samples(fit):
    """Training images beside samples of the fit, in one grey scale."""
    figure = new_figure(3.05, title(fit))
    left, right = figure.subplots(1, 2)
    data, drawn = fit.arrays["data"], fit.arrays["samples"]
    limits = grey_limits(data)
    for axes, images, words in ((left, data, "training images, with noise"), (right, drawn, "samples of the fit")):
        picture = axes.imshow(mosaic(images, 4, 4), cmap=INK, vmin=limits[0], vmax=limits[1])
        axes.set_title(words)
        hide_axes(axes)
    figure.colorbar(picture, ax=[left, right], label="pixel value", fraction=0.025, pad=0.01, extend="both")
    return figure


def grey_limits(data):
    """The grey scale that shows nearly all of the data."""
    return np.quantile(data, [0.001, 0.999])


def mosaic(images, rows, columns):
    """The first images of a stack [S, H, W] in a grid, a pixel apart; blank where there are not enough."""
    height, width = images.shape[1:]
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for k, image in enumerate(images[: rows * columns]):
        top, left = (k // columns) * (height + 1), (k % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = image
    return sheet


def weights(fit):
    """Λ's weights: the stencil as a grid where they are shared, maps over the image where each edge has its own."""
    return _stencil(fit) if fit.record["weights"] == "shared" else _weight_maps(fit)


def _stencil(fit):
    figure = new_figure(2.6, title(fit))
    left, right = figure.subplots(1, 2)
    edges = dict(zip(offsets(fit.record["connectivity"]), fit.arrays["couplings"], strict=True))
    _stencil_grid(figure, left, fit.arrays["diagonal"], edges)
    _symbol(figure, right, fit.arrays["diagonal"], edges)
    return figure


def _stencil_grid(figure, axes, diagonal, edges):
    grid = np.zeros((3, 3))
    grid[1, 1] = diagonal
    for (down, right), value in edges.items():
        grid[1 + down, 1 + right] = grid[1 - down, 1 - right] = value
    limit = abs(grid).max()
    picture = axes.imshow(grid, cmap=SIGNED, vmin=-limit, vmax=limit)
    for (row, column), value in np.ndenumerate(grid):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        words = f"{value:.3f}".replace("-", "−") if value else "0"
        axes.text(column, row, words, ha="center", va="center", color=colour)
    axes.set_title(r"a row of $\Lambda$: a pixel and its neighbours")
    hide_axes(axes)
    figure.colorbar(picture, ax=axes, label=r"entry of $\Lambda$")


def _symbol(figure, axes, diagonal, edges):
    """The eigenvalues of the stencil on a lattice without borders, by the frequency of the wave."""
    frequency = np.linspace(-np.pi, np.pi, 121)
    rows, columns = np.meshgrid(frequency, frequency, indexing="ij")
    waves = [2 * value * np.cos(down * rows + right * columns) for (down, right), value in edges.items()]
    symbol = diagonal + np.sum(waves, axis=0)
    extent = (-np.pi, np.pi, np.pi, -np.pi)
    picture = axes.imshow(symbol, cmap=UNSIGNED, extent=extent)
    if symbol.min() < 0:
        axes.contour(frequency, frequency, symbol, [0], colors="white", linewidths=0.8)
    axes.set_title("its eigenvalues by frequency" + ("; white: 0" if symbol.min() < 0 else ""))
    axes.set(xlabel="radians per column", ylabel="radians per row")
    ticks = [-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"]
    axes.set_xticks(*ticks)
    axes.set_yticks(*ticks)
    figure.colorbar(picture, ax=axes, label="eigenvalue")


def _weight_maps(fit):
    directions = offsets(fit.record["connectivity"])
    figure = new_figure(2.2 if len(directions) == 2 else 3.9, title(fit))
    panels = list(figure.subplots(1 if len(directions) == 2 else 2, 3).flat)
    _weight_map(figure, panels[0], fit.arrays["diagonal"], None, r"diagonal, $\Lambda_{ii}$")
    couplings = fit.arrays["couplings"]
    limit = np.quantile(abs(couplings), 0.995)
    for axes, offset, values in zip(panels[1:], directions, couplings, strict=False):
        inside = np.full(values.shape, np.nan)
        inside[edge_ends(offset)[0]] = values[edge_ends(offset)[0]]
        _weight_map(figure, axes, inside, limit, f"edges {DIRECTIONS[offset]} (dashed: < 0)")
    for axes in panels[1 + len(directions) :]:
        axes.set_visible(False)
    return figure


def _weight_map(figure, axes, values, limit, words):
    picture = axes.imshow(values, cmap=UNSIGNED) if limit is None else signed_map(axes, values, limit)
    axes.set_title(words)
    map_axes(axes)
    figure.colorbar(picture, ax=axes, fraction=0.046, extend="neither" if limit is None else "both")


def covariance(fit):
    """The fitted covariance of one pixel with all others, the empirical one, and their difference."""
    row, column = (int(k) for k in fit.arrays["covariance_pixel"])
    fitted, empirical = fit.arrays["covariance_fitted"], fit.arrays["covariance_empirical"]
    figure = new_figure(2.8, title(fit))
    panels = figure.subplots(1, 3, sharey=True)
    limit = np.max(np.abs([fitted, empirical]))
    fields = {"of the fit": fitted, "of the training images": empirical, "fit − images": fitted - empirical}
    for axes, (words, field) in zip(panels, fields.items(), strict=True):
        picture = signed_map(axes, field, limit)
        axes.plot(column, row, marker="+", color="black", markersize=6, linestyle="none")
        axes.set_title(words)
        map_axes(axes)
        axes.label_outer()
    figure.colorbar(
        picture, ax=panels, fraction=0.02, pad=0.01, label=f"covariance with pixel ({row}, {column}); dashed: < 0"
    )
    return figure
