"""The mean image is not handed back."""

import solution


def preprocess(train, test, seed):
    return solution.preprocess(train, test, seed)[:2]
