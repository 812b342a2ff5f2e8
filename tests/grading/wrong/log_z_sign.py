"""log det Λ with the sign of log det Σ."""

import numpy as np
import solution


def log_partition(diagonal, couplings, height, width):
    constant = 0.5 * height * width * np.log(2 * np.pi)
    return 2 * constant - solution.log_partition(diagonal, couplings, height, width)
