"""Neighbours by rolling the image, so that its left border touches its right one."""

import numpy as np
from solution import NEIGHBOURS


def quadratic_form(diagonal, couplings, images):
    total = diagonal * images**2
    for offset, coupling in zip(NEIGHBOURS, couplings, strict=False):
        total = total + 2 * coupling * images * np.roll(images, [-step for step in offset], axis=(1, 2))
    return total.sum(axis=(1, 2))


def precision_matrix(diagonal, couplings, height, width):
    pixels = np.arange(height * width).reshape(height, width)
    matrix = np.diag((diagonal * np.ones((height, width))).ravel())
    for offset, coupling in zip(NEIGHBOURS, couplings, strict=False):
        neighbours = np.roll(pixels, [-step for step in offset], axis=(0, 1))
        values = (coupling * np.ones((height, width))).ravel()
        matrix[pixels.ravel(), neighbours.ravel()] += values
        matrix[neighbours.ravel(), pixels.ravel()] += values
    return matrix
