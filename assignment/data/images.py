"""8-bit images → [0, 1] → Gaussian noise on every pixel → minus the mean image of the training split."""

import numbers
from dataclasses import dataclass

import numpy as np

from assignment.data.raw import check_images, sha256
from assignment.data.sources import prepare
from assignment.errors import UserError

SPLITS = ("train", "test")
_CHUNK_BYTES = 2**24
_NOISE_LIMIT = 1e6  # far beyond any use, and far from where float32 overflows


@dataclass(frozen=True, eq=False)
class Images:
    """One preprocessed split.

    Attributes:
      images: [N, H, W] float32, the noisy pixels minus `mean`.
      mean: [H, W] float32, the mean of the noisy training images, in units of the pixel range [0, 1].
      source: where the bytes came from, in words.
      name: the data set that was loaded, `mnist_sample` after falling back on it.
      sha256: of the 8-bit images of this split, as they were before preprocessing.
    """

    images: np.ndarray
    mean: np.ndarray
    source: str
    name: str
    sha256: str


def load_images(name="mnist", split="train", noise_std=0.1, seed=0, *, data_dir=None, idx_dir=None):
    """Loads one split, preprocessed. Both splits together come cheaper from `load_splits`.

    Args:
      name: a data set of tensorflow-datasets with single-channel 8-bit images of one size, or `mnist_sample`.
      split: "train" or "test".
      noise_std: standard deviation of the noise, in units of the pixel range [0, 1].
      seed: non-negative integer that decides the noise; the same for both splits gives the same mean.
      data_dir, idx_dir: see `prepare`.

    Returns:
      Images.

    Raises:
      UserError: an argument is out of range, or no usable data is found; see `prepare`.
      TypeError: an argument is of a wrong type.
    """
    if split not in SPLITS:
        raise UserError(f"split must be 'train' or 'test', not {split!r}")
    return load_splits(name, noise_std, seed, data_dir=data_dir, idx_dir=idx_dir)[SPLITS.index(split)]


def load_splits(name="mnist", noise_std=0.1, seed=0, *, data_dir=None, idx_dir=None):
    """Loads both splits, preprocessed: (training Images, test Images). Arguments and errors as in `load_images`."""
    _check_noise(noise_std, seed)
    raw = prepare(name, data_dir, idx_dir)
    train, test, mean = preprocess(raw.train, raw.test, noise_std, seed)
    return (
        Images(train, mean, raw.source, raw.name, sha256(raw.train)),
        Images(test, mean, raw.source, raw.name, sha256(raw.test)),
    )


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
    _check_noise(noise_std, seed)
    check_images(train, "train")
    check_images(test, "test")
    if train.shape[1:] != test.shape[1:]:
        raise UserError(f"train has images of shape {train.shape[1:]}, test of {test.shape[1:]}; they must be the same")
    train_seed, test_seed = np.random.SeedSequence(seed).spawn(2)
    train, test = _noisy(train, noise_std, train_seed), _noisy(test, noise_std, test_seed)
    mean = train.mean(axis=0, dtype=np.float64).astype(np.float32)
    train -= mean
    test -= mean
    return train, test, mean


def _noisy(images, noise_std, seed):
    """Pixels in [0, 1] plus noise, float32, made in chunks so that little is held beside the result."""
    generator = np.random.default_rng(seed)
    noisy = np.empty(images.shape, np.float32)
    step = max(1, _CHUNK_BYTES // noisy[0].nbytes)
    for start in range(0, len(images), step):
        chunk = noisy[start : start + step]
        generator.standard_normal(out=chunk, dtype=np.float32)
        chunk *= noise_std
        chunk += images[start : start + step] / np.float32(255)
    return noisy


def _check_noise(noise_std, seed):
    if not isinstance(noise_std, numbers.Real):
        raise TypeError(f"noise_std must be a number, not {noise_std!r}")
    if not 0 <= noise_std < _NOISE_LIMIT:
        raise UserError(f"noise_std must be at least 0 and below {_NOISE_LIMIT:g}, not {noise_std}")
    if not isinstance(seed, numbers.Integral):
        raise TypeError(f"seed must be an integer, not {seed!r}")
    if seed < 0:
        raise UserError(f"seed must be zero or more, not {seed}")
