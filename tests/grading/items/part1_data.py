"""Data: 8-bit images → [0, 1] → noise of variance 1/100 → minus the mean image of the training split."""

import numpy as np

from grading.grader.judge import ask_for_several, require, there
from grading.grader.rubric import item
from grading.grader.submission import once

SHAPE = (6, 7)
TRAIN, TEST = 6_000, 2_000
CLOSE = 5  # standard errors


@once
def raw_images(submission):
    """(train, test): mostly black and white, dark and bright regions lying otherwise in the test split."""
    random, splits = submission.random("data"), []
    for count, bright in ((TRAIN, np.linspace(0.2, 0.8, 42)), (TEST, np.linspace(0.7, 0.3, 42))):
        bright = bright.reshape(SHAPE) + random.uniform(-0.1, 0.1, SHAPE)
        images = np.where(random.random((count, *SHAPE)) < bright, 255, 0)
        grey = random.random(images.shape) < 0.2
        splits.append(np.where(grey, random.integers(0, 256, images.shape), images).astype(np.uint8))
    return splits


@once
def preprocessed(submission):
    """The submission's [train, test, mean], each an array or a Lost."""
    return _ask(submission, *raw_images(submission), int(submission.random("seed of the data").integers(2**31)))


def _ask(submission, train, test, seed):
    parts = {"train": [train.shape], "test": [test.shape], "mean": [SHAPE]}
    return ask_for_several(submission, "preprocess", parts, train=train, test=test, seed=seed)


def split_off_noise(images, raw):
    """(slope of the images on the raw pixels, the noise around that line), whatever mean image was subtracted."""
    raw = raw / 255 - (raw / 255).mean(axis=0)
    images = images - images.mean(axis=0)
    slope = (raw * images).sum() / (raw * raw).sum()
    explained = slope**2 * (raw * raw).sum() / max((images * images).sum(), 1e-300)
    require(explained > 0.01, "These are not the images that were given, in their order, with some noise added.")
    return slope, images - slope * raw


def _clipped(images, raw):
    """Whether pixels were cut off at 0 and 1: then half of the black ones have no noise at all."""
    black = [images[:, h, w][raw[:, h, w] == 0] for h, w in np.ndindex(SHAPE)]
    return np.mean([np.mean(pixels < pixels.min() + 1e-6) for pixels in black]) > 0.3


@once
def split(submission, which):
    """(images, raw images, slope, noise, whether they were clipped) of the split for training, 0, or for testing, 1."""
    images, raw = there(preprocessed(submission)[which]), raw_images(submission)[which]
    return images, raw, *split_off_noise(images, raw), _clipped(images, raw)


@item("data", 3, "pixels scaled to [0, 1]")
def scale(submission):
    _, _, slope, _, clipped = split(submission, 0)
    if clipped:
        return  # charged as noise
    require(
        abs(slope - 255 / 256) > 0.0018,
        "White minus black is 255/256 after scaling: 8-bit pixels run from 0 to 255, so divide by 255.",
        share=0.5,
    )
    require(
        abs(slope - 1) < 0.002,
        f"White minus black (255 minus 0) must be 1 after scaling, and is {slope:.4g}; check the division by 255.",
    )


@item("data", 3, "Gaussian noise of variance 1/100 on every pixel")
def noise_variance(submission):
    for which in (0, 1):
        _, raw, slope, noise, clipped = split(submission, which)
        variance = (noise**2).mean() * len(raw) / (len(raw) - 1)
        deviation = np.sqrt(variance)
        require(deviation > 1e-6, "No noise is left in the images; draw it for each pixel of each image.")
        require(
            not clipped or deviation < 0.01,
            "Pixels are cut off at 0 and 1 after the noise was added; Gaussian noise goes beyond both.",
        )
        require(
            deviation > 0.01 or abs(deviation * 255 / slope - 0.1) > 0.01,
            "The noise is 255 times too small: it was added before the division by 255; scale first, then add it.",
        )
        require(
            abs(variance - 0.01) < 1.2 * CLOSE * 0.01 * np.sqrt(2 / raw.size),
            f"The noise on a pixel must have variance 1/100, and has {variance:.3g}; "
            "mind whether your generator takes a variance or a standard deviation.",
        )
        fourth = np.mean((noise / deviation) ** 4)
        require(
            abs(fourth - 3) < CLOSE * np.sqrt(24 / raw.size) + 0.05,
            f"The noise must be normal; yours has the right variance, but another distribution (its kurtosis is "
            f"{fourth:.2f}, a normal one's 3, a uniform one's 1.8).",
        )
        require(
            np.abs(noise.var(axis=0) - 0.01).max() < 1.5 * CLOSE * 0.01 * np.sqrt(2 / len(raw)),
            "Every pixel must get noise of the same variance.",
        )


@item("data", 2, "noise independent, and drawn from the seed")
def noise_independence(submission):
    noise, other = (split(submission, which)[3] for which in (0, 1))
    noise, other = noise / max(noise.std(), 1e-12), other / max(other.std(), 1e-12)
    neighbours = ((noise[:, 1:], noise[:, :-1]), (noise[..., 1:], noise[..., :-1]), (noise[1:], noise[:-1]))
    for one, two in (*neighbours, (noise[: len(other)], other)):
        require(
            abs((one * two).mean()) < CLOSE / np.sqrt(one.size),
            "Noise must be drawn anew for each pixel, each image and each split.",
        )
    train, test = (images[:50] for images in raw_images(submission))
    seed = int(submission.random("seed of the noise").integers(2**31))
    first, again, another = (there(_ask(submission, train, test, s)[0]) for s in (seed, seed, seed + 1))
    split_off_noise(first, train)
    require(np.array_equal(first, again), "The same `seed` must give the same noise again.", share=0.5)
    require(not np.array_equal(first, another), "`seed` is ignored: another seed must give other noise.", share=0.5)


@item("data", 2, "the training split's mean subtracted from it")
def train_mean(submission):
    train, raw, slope, _, clipped = split(submission, 0)  # a wrong slope has cost its points already
    error = 0.1 / np.sqrt(TRAIN)  # of a mean image taken before the noise was added
    require(
        np.abs(train.mean(axis=0) / slope).max() < CLOSE * error,
        "The mean over the training images must be zero at every pixel after preprocessing.",
    )
    mean, slack = there(preprocessed(submission)[2]), 0.05 if clipped else CLOSE * error
    require(
        np.abs(mean / slope - (raw / 255).mean(axis=0)).max() < slack,
        "The mean image that you return must be that of the training split, in units of [0, 1].",
        share=0.5,
    )


@item("data", 2, "the same mean subtracted from the test split")
def test_mean(submission):
    images, test, slope, _, clipped = split(submission, 1)
    expected = (test / 255).mean(axis=0) - (raw_images(submission)[0] / 255).mean(axis=0)
    off = np.abs(images.mean(axis=0) / slope - expected).max()
    require(
        off < CLOSE * 0.1 * np.sqrt(1 / TRAIN + 1 / TEST) + (0.1 if clipped else 0),
        "The model has one μ: what is subtracted from the test images is the mean of the training images.",
    )
