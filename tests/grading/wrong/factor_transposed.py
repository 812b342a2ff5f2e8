"""Samples by L⁻¹ε, with Λ = LLᵀ, for L⁻ᵀε."""

import numpy as np
import solution


def sample(diagonal, couplings, mean, epsilon):
    factor = np.linalg.cholesky(solution.precision_matrix(diagonal, couplings, *mean.shape))
    return mean + np.linalg.solve(factor, epsilon.reshape(len(epsilon), -1).T).T.reshape(epsilon.shape)
