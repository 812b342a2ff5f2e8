"""Data: 8-bit images → [0, 1] → noise of variance 1/100 → minus the mean image of the training split."""

import numpy as np
import pytest

from grading.grader.judge import ask, require

RANDOM = np.random.default_rng(11)
# Dark and bright regions, which lie otherwise in the test split, so that the two means differ.
TRAIN = RANDOM.integers(0, np.linspace(60, 256, 42).reshape(6, 7), (3000, 6, 7)).astype(np.uint8)
TEST = RANDOM.integers(0, np.linspace(256, 90, 42).reshape(6, 7), (1000, 6, 7)).astype(np.uint8)
CLOSE = 5  # standard errors


@pytest.fixture(scope="module")
def preprocessed(submission):
    """The submission's (train, test, mean), or how it failed: asked once."""
    results = []

    def result():
        if not results:
            shapes = [TRAIN.shape, TEST.shape, (6, 7)]
            results.append(ask(submission, "preprocess", shapes, train=TRAIN, test=TEST, seed=3))
        return results[0]

    return result


def split_off_noise(images, raw):
    """(slope of the images on the raw pixels, the noise around that line), whatever mean image was subtracted."""
    raw = raw / 255 - (raw / 255).mean(axis=0)
    images = images - images.mean(axis=0)
    slope = (raw * images).sum() / (raw * raw).sum()
    return slope, images - slope * raw


@pytest.mark.item("data", 3, "pixels scaled to [0, 1]")
def test_scale(preprocessed):
    train, _, _ = preprocessed()
    slope, _ = split_off_noise(train, TRAIN)
    require(abs(slope - 1) < 0.02, "White minus black (255 minus 0) must be 1 after scaling; check the division.")


@pytest.mark.item("data", 3, "noise of variance 1/100 on every pixel")
def test_noise_variance(preprocessed):
    train, test, _ = preprocessed()
    for images, raw in ((train, TRAIN), (test, TEST)):
        _, noise = split_off_noise(images, raw)
        variance = (noise**2).mean(axis=(1, 2)).mean() * len(raw) / (len(raw) - 1)
        require(variance > 1e-6, "No noise is left in the images; draw it for each pixel of each image.")
        require(
            abs(variance - 0.01) < CLOSE * 0.01 * np.sqrt(2 / raw.size),
            "The noise added to a pixel must have variance 1/100; mind what your generator takes as its scale.",
        )
        by_pixel = noise.var(axis=0)
        require(
            np.abs(by_pixel - 0.01).max() < 1.5 * CLOSE * 0.01 * np.sqrt(2 / len(raw)),
            "Every pixel must get noise of the same variance.",
        )


@pytest.mark.item("data", 2, "noise independent from pixel to pixel and image to image")
def test_noise_independence(preprocessed):
    train, test, _ = preprocessed()
    (_, noise), (_, other) = split_off_noise(train, TRAIN), split_off_noise(test, TEST)
    noise, other = noise / max(noise.std(), 1e-12), other / max(other.std(), 1e-12)
    pairs = ((noise[:, 1:], noise[:, :-1]), (noise[..., 1:], noise[..., :-1]), (noise[1:], noise[:-1]))
    for one, two in (*pairs, (noise[: len(other)], other)):
        require(
            abs((one * two).mean()) < CLOSE / np.sqrt(one.size),
            "Noise must be drawn anew for each pixel, each image and each split.",
        )


@pytest.mark.item("data", 2, "the training split's mean subtracted from it")
def test_train_mean(preprocessed):
    train, _, mean = preprocessed()
    slope, _ = split_off_noise(train, TRAIN)  # a wrong scale has cost its points already
    train, mean = train / slope, mean / slope
    error = 0.1 / np.sqrt(len(TRAIN))  # of a mean image taken before the noise was added
    require(
        np.abs(train.mean(axis=0)).max() < CLOSE * error,
        "The mean over the training images must be zero at every pixel after preprocessing.",
    )
    require(
        np.abs(mean - (TRAIN / 255).mean(axis=0)).max() < CLOSE * error,
        "The mean image that you return must be that of the training split, in units of [0, 1].",
    )


@pytest.mark.item("data", 2, "the same mean subtracted from the test split")
def test_test_mean(preprocessed):
    _, test, _ = preprocessed()
    slope, _ = split_off_noise(test, TEST)
    expected = (TEST / 255).mean(axis=0) - (TRAIN / 255).mean(axis=0)
    require(
        np.abs(test.mean(axis=0) / slope - expected).max() < CLOSE * 0.1 * np.sqrt(1 / len(TRAIN) + 1 / len(TEST)),
        "The model has one μ: what is subtracted from the test images is the mean of the training images.",
    )
