"""Noise of deviation 0.1 on pixels from 0 to 255, which are scaled after it."""

import numpy as np


def preprocess(train, test, seed):
    random = np.random.default_rng(seed)
    train, test = ((images + random.normal(0, 0.1, images.shape)) / 255 for images in (train, test))
    mean = train.mean(axis=0)
    return train - mean, test - mean, mean
