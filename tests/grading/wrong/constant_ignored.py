"""The free constant left out of the loss."""

import solution


def nce_loss(log_partition, **named):
    return solution.nce_loss(log_partition=0.0, **named)
