"""Positive definite is what is diagonally dominant."""

import numpy as np
import solution


def is_positive_definite(diagonal, couplings, height, width):
    matrix = solution.precision_matrix(diagonal, couplings, height, width)
    return bool((2 * np.diag(matrix) > np.abs(matrix).sum(axis=1)).all())
