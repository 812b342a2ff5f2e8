"""Division by 256."""

import numpy as np


def preprocess(train, test, seed):
    random = np.random.default_rng(seed)
    train, test = (images / 256 + random.normal(0, 0.1, images.shape) for images in (train, test))
    mean = train.mean(axis=0)
    return train - mean, test - mean, mean
