"""Noisy pixels cut off at 0 and 1."""

import numpy as np


def preprocess(train, test, seed):
    random = np.random.default_rng(seed)
    train, test = (np.clip(images / 255 + random.normal(0, 0.1, images.shape), 0, 1) for images in (train, test))
    mean = train.mean(axis=0)
    return train - mean, test - mean, mean
