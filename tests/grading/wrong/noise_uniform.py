"""Uniform noise of the right variance."""

import numpy as np


def preprocess(train, test, seed):
    random = np.random.default_rng(seed)
    train, test = (images / 255 + random.uniform(-(0.03**0.5), 0.03**0.5, images.shape) for images in (train, test))
    mean = train.mean(axis=0)
    return train - mean, test - mean, mean
