"""log(1 + exp(G)) as it is written."""

import numpy as np
import solution


def nce_loss(**named):
    softplus = solution.softplus
    solution.softplus = lambda t: np.log(1 + np.exp(t))
    try:
        return solution.nce_loss(**named)
    finally:
        solution.softplus = softplus
