"""The noise's log density with log(2π·det) for D·log 2π + log det."""

import numpy as np


def noise_log_density(images, variance):
    squares = (images**2 / variance).sum(axis=(1, 2))
    return -0.5 * (squares + np.log(2 * np.pi) + np.log(variance).sum())
