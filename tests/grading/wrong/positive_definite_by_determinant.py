"""Positive definite is what has a positive determinant."""

import numpy as np
import solution


def is_positive_definite(diagonal, couplings, height, width):
    return np.linalg.slogdet(solution.precision_matrix(diagonal, couplings, height, width))[0] > 0
