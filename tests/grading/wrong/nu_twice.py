"""ν applied twice: in the weight of the noise's term, and once more in each logarithm."""

import numpy as np
import solution


def nce_loss(log_partition, noise_ratio, **named):
    return solution.nce_loss(log_partition=log_partition + np.log(noise_ratio), noise_ratio=noise_ratio, **named)


def nce_gradient(log_partition, noise_ratio, **named):
    return solution.nce_gradient(log_partition=log_partition + np.log(noise_ratio), noise_ratio=noise_ratio, **named)
