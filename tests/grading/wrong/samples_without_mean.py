"""Samples of the centred images, with μ forgotten."""

import solution


def sample(diagonal, couplings, mean, epsilon):
    return solution.sample(diagonal, couplings, 0 * mean, epsilon)
