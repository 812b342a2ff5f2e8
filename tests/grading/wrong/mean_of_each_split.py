"""The test split less its own mean."""

import solution


def preprocess(train, test, seed):
    train, test, mean = solution.preprocess(train, test, seed)
    return train, test - test.mean(axis=0), mean
