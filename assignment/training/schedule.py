"""How long the steps are: the optimizers, their learning rates, and how both shrink."""

import math

import keras

from assignment.errors import did_you_mean

REACH = 0.75  # the longest step, in nats of spread
OPTIMIZERS = {"sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}


def make_optimizer(optimizer: str | keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """A Keras optimizer by name, whose learning rate the schedule sets; an instance passes through.

    Raises:
      ValueError: it is neither "sgd", "rmsprop", "adam" nor a Keras optimizer.
    """
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    if not isinstance(optimizer, str) or optimizer not in OPTIMIZERS:
        words = f"optimizer must be one of {', '.join(OPTIMIZERS)} or a Keras optimizer, not {optimizer!r:.60}"
        raise ValueError(words + did_you_mean(optimizer, OPTIMIZERS))
    return OPTIMIZERS[optimizer]()


def learning_rate(optimizer: str, weights: int, reach: float, curvature: float = 2.0) -> float:
    """A rate that suits whitened coordinates.

    RMSProp and Adam make steps of about the same length in every coordinate: reach/√P. SGD's is the inverse of the
    curvature, the largest eigenvalue of the loss's Hessian.
    """
    return 1 / curvature if optimizer == "sgd" else reach / math.sqrt(weights)


def falling(step: int, steps: int) -> float:
    """The factor on the length of a step: it falls linearly from 1 to 0 over the run (Robbins & Monro 1951)."""
    return 1 - step / steps
