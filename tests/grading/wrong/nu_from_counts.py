"""ν as M/N, whatever `noise_ratio` says."""

import solution


def nce_loss(data, noise, noise_ratio, **named):
    return solution.nce_loss(data=data, noise=noise, noise_ratio=len(noise) / len(data), **named)
