"""ν left out of the loss and of its gradient."""

import solution


def nce_loss(*arguments, noise_ratio, **named):
    return solution.nce_loss(*arguments, noise_ratio=1.0, **named)


def nce_gradient(*arguments, noise_ratio, **named):
    return solution.nce_gradient(*arguments, noise_ratio=1.0, **named)
