"""log p_θ = −½xᵀΛx + c."""

import solution


def nce_loss(log_partition, **named):
    return solution.nce_loss(log_partition=-log_partition, **named)
