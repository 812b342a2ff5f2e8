"""A hand-made cut-off of the log-ratio in the place of softplus."""

import numpy as np
import solution


def nce_loss(**named):
    softplus = solution.softplus
    solution.softplus = lambda t: np.log(1 + np.exp(np.clip(t, -50, 50)))
    try:
        return solution.nce_loss(**named)
    finally:
        solution.softplus = softplus
