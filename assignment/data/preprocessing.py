"""8-bit images → [0, 1] → Gaussian noise on every pixel → minus the mean image of the training split.

Images come and go in chunks, so that a split may be larger than memory. The noise does not depend on the chunks.
"""

import numbers
from collections.abc import Iterator

import numpy as np

from assignment.data.raw import SPLITS, check_images, chunks_of
from assignment.errors import UserError

# Far beyond any use, and far from where float32 overflows.
_NOISE_LIMIT = 1e6


def preprocess(
    train: np.ndarray, test: np.ndarray, noise_std: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The exercise's preprocessing of a training and a test split in memory.

    Args:
      train, test: [N, H, W] uint8, images of one size.
      noise_std: standard deviation of the noise, in units of the pixel range [0, 1].
      seed: non-negative integer; the splits get independent noise from it.

    Returns:
      (train [N, H, W], test [M, H, W], mean [H, W]), float32: both splits minus the mean of the noisy training split.

    Raises:
      UserError: arrays of a wrong type or shape, an empty split, noise out of range.
    """
    check_noise(noise_std, seed)
    raw = {"train": train, "test": test}
    check_splits(raw)
    mean = mean_image(train, noise_std, seed)
    train, test = (np.concatenate(list(centred(raw[split], split, mean, noise_std, seed))) for split in SPLITS)
    return train, test, mean


def mean_image(train: np.ndarray, noise_std: float, seed: int) -> np.ndarray:
    """The mean [H, W] float32 of the noisy training images."""
    total = np.zeros(train.shape[1:])
    for chunk in _noisy(train, "train", noise_std, seed):
        total += chunk.sum(axis=0, dtype=np.float64)
    return (total / len(train)).astype(np.float32)


def centred(images: np.ndarray, split: str, mean: np.ndarray, noise_std: float, seed: int) -> Iterator[np.ndarray]:
    """The noisy images of a split minus the mean image, in chunks [≤ m, H, W] float32."""
    return (chunk - mean for chunk in _noisy(images, split, noise_std, seed))


def check_splits(arrays: dict[str, np.ndarray], least: int = 1) -> None:
    """Raises UserError unless both splits are 8-bit images of one size, at least `least` pixels each way."""
    for split in SPLITS:
        check_images(arrays[split], split, least)
    sizes = [arrays[split].shape[1:] for split in SPLITS]
    if sizes[0] != sizes[1]:
        raise UserError(f"train has images of shape {sizes[0]}, test of {sizes[1]}; they must be the same")


def check_noise(noise_std: float, seed: int) -> None:
    """Raises UserError or TypeError unless these are a standard deviation and a seed."""
    if not isinstance(noise_std, numbers.Real):
        raise TypeError(f"noise_std must be a number, not {noise_std!r}")
    if not 0 <= noise_std < _NOISE_LIMIT:
        raise UserError(f"noise_std must be at least 0 and below {_NOISE_LIMIT:g}, not {noise_std}")
    if not isinstance(seed, numbers.Integral):
        raise TypeError(f"seed must be an integer, not {seed!r}")
    if seed < 0:
        raise UserError(f"seed must be zero or more, not {seed}")


def _noisy(images: np.ndarray, split: str, noise_std: float, seed: int) -> Iterator[np.ndarray]:
    """Pixels in [0, 1] plus noise."""
    generator = np.random.default_rng(np.random.SeedSequence(seed).spawn(2)[SPLITS.index(split)])
    for chunk in chunks_of(images):
        pixels = generator.standard_normal(chunk.shape, dtype=np.float32)
        pixels *= noise_std
        pixels += chunk / np.float32(255)
        yield pixels
