"""The mean image is computed, and left in."""

import solution


def preprocess(train, test, seed):
    train, test, mean = solution.preprocess(train, test, seed)
    return train + mean, test + mean, mean
