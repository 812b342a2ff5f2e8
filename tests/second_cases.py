"""Lattices and images for the tests of the second estimators, and what they are held against, dense and in float64."""

import functools

import numpy as np
import tensorflow as tf
from conftest import random_layer
from lattice_oracle import directions

from assignment.data import load_images
from assignment.fits.maximum_likelihood import maximise
from assignment.lattice.information import data_moments, double, mean_log_likelihood
from assignment.lattice.precision import StencilPrecision

FAMILIES = [(c, w) for c in (4, 8) for w in ("shared", "per_edge")]


@functools.cache
def digits():
    """The middle of the sample's training images, [2000, 8, 8]."""
    return load_images("mnist_sample").images[:, 10:18, 10:18]


def lattice(connectivity=4, weights="per_edge", size=(5, 4), seed=0, dtype="float64"):
    return random_layer(connectivity, weights, *size, seed, dtype)


def images_like(layer, count=7, seed=3):
    return tf.random.stateless_normal([count, layer.height, layer.width], [seed, 0], dtype=layer.dtype)


def start(connectivity, weights, images):
    return StencilPrecision(connectivity, weights).match_variances(images)


def fit_digits(fit, layer, *arguments, **options):
    """A fit to the digits that is positive definite after every step."""
    positive = []

    def progress(*_):
        positive.append(bool(layer.operator().positive_definite()))

    result = fit(layer, digits(), *arguments, progress=progress, **options)
    assert all(positive) and len(positive) == len(result.history["loss"])
    return result


@functools.cache
def best_likelihood(connectivity, weights):
    """Of the digits, in nats per image."""
    layer = start(connectivity, weights, digits())
    return maximise(layer, data_moments(layer, [digits()]), double(layer))[1][-1]


def likelihood(layer):
    """Of the digits, in nats per image, with the exact log Z."""
    return mean_log_likelihood(layer, data_moments(layer, [digits()]))


def covariance(layer):
    return np.linalg.inv(layer.to_dense().numpy().astype(np.float64))


def second_moments(images):
    flat = np.reshape(images, [len(images), -1]).astype(np.float64)
    return flat.T @ flat / len(flat)


def fisher_information(layer):
    """F_kl = ½ tr(ΣA_kΣA_l), [P, P]."""
    products = covariance(layer) @ directions(layer)
    return 0.5 * np.einsum("kij,lji->kl", products, products, optimize=True)


def score_matching_quadratic(layer, second_moments, weight):
    """(K, b) of the objective ½θᵀKθ − b·θ = ½E‖M^½Λx‖² − tr(MΛ), with M = `weight`."""
    stack = directions(layer)
    half = np.einsum("kij,jm->kim", stack, second_moments)
    return np.einsum("kim,lmj,ji->kl", half, stack, weight, optimize=True), np.einsum("kij,ji->k", stack, weight)


def gradient(objective, layer, x, seed=(1, 2)):
    """(loss, its gradient in θ) on images x."""
    with tf.GradientTape() as tape:
        loss = objective.loss(layer, x, seed)
    return float(loss), tape.gradient(loss, layer.theta.value).numpy()
