"""Samples by A = Λ^½."""

import numpy as np
import solution


def sample(diagonal, couplings, mean, epsilon):
    values, vectors = np.linalg.eigh(solution.precision_matrix(diagonal, couplings, *mean.shape))
    root = (vectors * np.sqrt(values)) @ vectors.T
    return mean + (epsilon.reshape(len(epsilon), -1) @ root).reshape(epsilon.shape)
