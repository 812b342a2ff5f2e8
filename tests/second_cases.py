"""Lattices and images for the tests of conditional NCE and score matching."""

import functools

import numpy as np
import tensorflow as tf

from assignment.batches import second_moments
from assignment.data import load_images
from assignment.estimators.maximum_likelihood import fisher_scoring
from assignment.lattice.information import pool_moments
from assignment.lattice.precision import StencilPrecision

FAMILIES = [(c, w) for c in (4, 8) for w in ("shared", "per_edge")]


@functools.cache
def digits():
    """The middle of the sample's training images, [2000, 8, 8]."""
    return load_images("mnist_sample").images[:, 10:18, 10:18]


def lattice(connectivity=4, weights="per_edge", size=(5, 4), dtype="float64", seed=0):
    """A diagonally dominant Λ with random weights."""
    layer = StencilPrecision(connectivity, weights, dtype=dtype)
    layer.build((None, *size))
    random = np.random.default_rng(seed)
    diagonal = layer.group_sizes[0]
    weights = -random.uniform(0.1, 0.5, layer.theta.shape[0])
    weights[:diagonal] = random.uniform(4, 5, diagonal)
    layer.assign_theta(weights)
    return layer


def images_like(layer, count=7, seed=3):
    return tf.random.stateless_normal([count, layer.height, layer.width], [seed, 0], dtype=layer.dtype)


def diagonal_start(connectivity, weights, images):
    """A float32 layer with the images' variances, and the images' moments."""
    layer = StencilPrecision(connectivity, weights)
    layer.build(images.shape)
    moments, diagonal = pool_moments(layer, second_moments(images)), layer.group_sizes[0]
    theta = np.zeros(layer.theta.shape)
    theta[:diagonal] = layer.pixels / diagonal / moments[:diagonal]
    layer.assign_theta(theta)
    return layer, moments


def maximum_likelihood(connectivity, weights, images):
    layer = StencilPrecision(connectivity, weights, dtype="float64")
    layer.build(images.shape)
    start, moments = diagonal_start(connectivity, weights, images)
    layer.assign_theta(start.theta.numpy())
    return fisher_scoring(layer, moments)[-1]
