"""Where a fit begins: images that can train the layer, and a start that is not far from them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from assignment.checks import image_stack, trainable, whole
from assignment.data.minibatches import chunks
from assignment.lattice.information import data_moments, mean_log_likelihood
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.stencil import weight_pixels

# A start may be so many nats per pixel less likely than the matched diagonal one before that takes its place.
SLACK = 0.5
# Neighbours whose squared correlation is nearer to 1 than this are equal, or opposite, to within a thousandth.
DEPENDENT = 1e-6


@contextmanager
def begin(
    layer: StencilPrecision, images: Any, seed: int, mean: np.ndarray | float = 0.0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A context for a fit: checks what it is given, and gives the layer its weights back if the fit raises an error.

    A start far less likely than the matched diagonal one is replaced by it.

    Args:
      layer: a built `StencilPrecision` at its start; images: [N, H, W], or what `load_images` returned.
      mean: of the model, [H, W].

    Yields:
      (images [N, H, W] float32; the average `quadratic_moments` of images minus mean, float64 [P]).

    Raises:
      ValueError, TypeError: the layer cannot be trained, or these images cannot train it.
    """
    if not isinstance(layer, StencilPrecision):
        raise TypeError(f"layer must be a StencilPrecision to be trained, not a {type(layer).__name__}")
    whole("seed", seed)
    images = image_stack(getattr(images, "images", images))
    trainable(layer, images)
    moments = data_moments(layer, (np.subtract(x, mean, dtype=np.float64) for x in chunks(images)))
    if not layer.shared:
        _enough(layer, len(images))
        _independent(layer, moments)
    squares = moments[: layer.group_sizes[0]] / (layer.pixels // layer.group_sizes[0])
    matched = -0.5 * layer.pixels * (1 + math.log(2 * math.pi) + np.mean(np.log(squares)))
    before = layer.theta.numpy()
    try:
        if not mean_log_likelihood(layer, moments) > matched - SLACK * layer.pixels:
            layer.assign_theta(np.concatenate([1 / squares, np.zeros(len(moments) - len(squares))]))
        yield images, moments
    except Exception:
        layer.theta.assign(before)
        raise


def _enough(layer, count):
    """Refuses fewer images than there are pixels that are all neighbours: their covariance is singular."""
    neighbours = 4 if layer.connectivity == 8 and min(layer.height, layer.width) > 1 else min(2, layer.pixels)
    if count < neighbours:
        raise ValueError(
            f"images must be at least {neighbours}, as many as there are pixels that are all neighbours, not {count}: "
            "no finite precision with a weight for each edge fits fewer; use shared weights, or more images"
        )


def _independent(layer, moments):
    """Refuses neighbours that are all but equal, or opposite, in every image: the weight of their edge is too large."""
    upper, lower = weight_pixels(layer.connectivity, layer.height, layer.width)
    edges = slice(layer.pixels, None)
    products = moments[upper[edges]] * moments[lower[edges]]
    dependent = np.flatnonzero((moments[edges] / 2) ** 2 > (1 - DEPENDENT) * products)
    if dependent.size:
        pair = [tuple(map(int, divmod(end[edges][dependent[0]], layer.width))) for end in (upper, lower)]
        raise ValueError(
            f"images must vary: the pixels {pair[0]} and {pair[1]} (row, column) are equal or opposite in every image "
            f"to within a thousandth ({dependent.size} such pairs of neighbours in all), and no precision that float32 "
            "can hold fits them; use shared weights, or other images"
        )
