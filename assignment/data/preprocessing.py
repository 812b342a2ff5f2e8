"""8-bit images → [0, 1] → Gaussian noise on every pixel → minus the mean image of the training split.

Images come and go in chunks, so that a split may be larger than memory; the noise does not depend on the chunks.
"""

import numbers

import numpy as np

from assignment.data.raw import check_images, chunks_of
from assignment.errors import UserError

_NOISE_LIMIT = 1e6  # far beyond any use, and far from where float32 overflows


def preprocess(train, test, noise_std=0.1, seed=0):
    """The exercise's preprocessing of a training and a test split.

    Args:
      train, test: [N, H, W] uint8, images of one size.
      noise_std: standard deviation of the noise, in units of the pixel range [0, 1].
      seed: non-negative integer; the splits get independent noise from it.

    Returns:
      (train [N, H, W], test [M, H, W], mean [H, W]), float32: both splits less the mean of the noisy training split.

    Raises:
      UserError: arrays of a wrong type or shape, NaN or infinite pixels, an empty split, noise out of range.
    """
    check_noise(noise_std, seed)
    check_images(train, "train")
    check_images(test, "test")
    if train.shape[1:] != test.shape[1:]:
        raise UserError(f"train has images of shape {train.shape[1:]}, test of {test.shape[1:]}; they must be the same")
    train_seed, test_seed = noise_seeds(seed)
    mean = Mean(train.shape[1:])
    train = _gather(train.shape, mean.watch(noisy(chunks_of(train), noise_std, train_seed)))
    test = _gather(test.shape, noisy(chunks_of(test), noise_std, test_seed))
    train -= mean.value
    test -= mean.value
    return train, test, mean.value


def noisy(chunks, noise_std, seed):
    """Chunks [m, H, W] uint8 as pixels in [0, 1] plus noise, float32; `seed` is one of `noise_seeds`."""
    generator = np.random.default_rng(seed)
    for chunk in chunks:
        pixels = generator.standard_normal(chunk.shape, dtype=np.float32)
        pixels *= noise_std
        pixels += chunk / np.float32(255)
        yield pixels


def noise_seeds(seed):
    """What decides the noise of the training and of the test split."""
    return np.random.SeedSequence(seed).spawn(2)


class Mean:
    """The mean image of chunks that pass by."""

    def __init__(self, size):
        self.total = np.zeros(size)
        self.count = 0

    def watch(self, chunks):
        """The same chunks [m, H, W], counted in as they pass."""
        for chunk in chunks:
            self.total += chunk.sum(axis=0, dtype=np.float64)
            self.count += len(chunk)
            yield chunk

    @property
    def value(self):
        """[H, W] float32."""
        return (self.total / self.count).astype(np.float32)


def check_noise(noise_std, seed):
    """Raises UserError or TypeError unless these are a standard deviation and a seed."""
    if not isinstance(noise_std, numbers.Real):
        raise TypeError(f"noise_std must be a number, not {noise_std!r}")
    if not 0 <= noise_std < _NOISE_LIMIT:
        raise UserError(f"noise_std must be at least 0 and below {_NOISE_LIMIT:g}, not {noise_std}")
    if not isinstance(seed, numbers.Integral):
        raise TypeError(f"seed must be an integer, not {seed!r}")
    if seed < 0:
        raise UserError(f"seed must be zero or more, not {seed}")


def _gather(shape, chunks):
    images = np.empty(shape, np.float32)
    start = 0
    for chunk in chunks:
        images[start : start + len(chunk)] = chunk
        start += len(chunk)
    return images
