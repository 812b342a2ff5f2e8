"""Preprocessed images as arrays in memory; `open_splits` is for those that had better stay on disk."""

from dataclasses import dataclass

import numpy as np

from assignment.data.preprocessing import check_noise, preprocess
from assignment.data.raw import SPLITS, sha256
from assignment.data.sources import locate
from assignment.errors import UserError, did_you_mean


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
        raise UserError(f"split must be 'train' or 'test', not {split!r}{did_you_mean(split, SPLITS)}")
    return load_splits(name, noise_std, seed, data_dir=data_dir, idx_dir=idx_dir)[SPLITS.index(split)]


def load_splits(name="mnist", noise_std=0.1, seed=0, *, data_dir=None, idx_dir=None):
    """Loads both splits, preprocessed: (training Images, test Images). Arguments and errors as in `load_images`."""
    check_noise(noise_std, seed)
    raw = locate(name, data_dir, idx_dir)
    train, test, mean = preprocess(raw.train, raw.test, noise_std, seed)
    return (
        Images(train, mean, raw.source, raw.name, sha256(raw.train)),
        Images(test, mean, raw.source, raw.name, sha256(raw.test)),
    )
