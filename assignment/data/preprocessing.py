"""8-bit images → [0, 1] → Gaussian noise on every pixel → minus the mean image of the training split.

Images come and go in chunks, so that a split may be larger than memory. The noise does not depend on the chunks.
"""

import hashlib
import numbers
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assignment.checks import whole
from assignment.data.minibatches import chunks
from assignment.errors import UserError

SPLITS = ("train", "test")
_CHUNK_BYTES = 2**20  # of 8-bit images; the noisy ones take four times as much
# Far beyond any use, and far from where float32 overflows.
_NOISE_LIMIT = 1e6


@dataclass(frozen=True, eq=False)
class RawImages:
    """Both splits of a data set.

    Attributes:
      name: what results call it.
      source: where the bytes came from, in words.
      digest: SHA-256 of all that decides the pixels.
      open: function from an empty folder, which it may write to, to {"train": [N, H, W] uint8, "test": the same}.
    """

    name: str
    source: str
    digest: str
    open: Callable[[Path], dict[str, np.ndarray]]


def raw_images(name: str, source: str, arrays: dict[str, np.ndarray]) -> RawImages:
    """Both splits of a data set that are there as arrays."""
    facts = [(arrays[split].shape, sha256(arrays[split])) for split in SPLITS]
    return RawImages(name, source, hashlib.sha256(repr(facts).encode()).hexdigest(), lambda _: arrays)


def check_images(images: np.ndarray, what: str) -> None:
    """Raises UserError unless `images` is a uint8 array [N, H, W], N > 0, H and W at least 2."""
    if not isinstance(images, np.ndarray):
        raise UserError(f"{what} is a {type(images).__name__}; a NumPy array of 8-bit images [N, H, W] is needed")
    if images.dtype != np.uint8:
        raise UserError(f"{what} holds {images.dtype.name} pixels; 8-bit pixels (uint8, 0 to 255) are needed")
    if images.ndim != 3:
        raise UserError(f"{what} has shape {images.shape}; [N, H, W] is needed: single-channel images of one size")
    if images.size == 0:
        raise UserError(f"{what} is empty (shape {images.shape}); at least one image is needed")
    if min(images.shape[1:]) < 2:
        height, width = images.shape[1:]
        raise UserError(f"{what} holds images of {height}×{width} pixels; 2×2 is the smallest size")


def sha256(images: np.ndarray) -> str:
    """SHA-256 of the images' bytes in order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for chunk in chunks(images, _CHUNK_BYTES):
        digest.update(np.ascontiguousarray(chunk))
    return digest.hexdigest()


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
      UserError: arrays of a wrong type or shape, an empty split, noise out of range. TypeError: noise is no number.
    """
    check_noise(noise_std, seed)
    splits = {"train": train, "test": test}
    check_splits(splits)
    mean = mean_image(train, noise_std, seed)
    for split in SPLITS:
        splits[split] = np.concatenate([chunk - mean for chunk in noisy(splits[split], split, noise_std, seed)])
    return splits["train"], splits["test"], mean


def noisy(images: np.ndarray, split: str, noise_std: float, seed: int) -> Iterator[np.ndarray]:
    """The images of a split in chunks [≤ m, H, W] float32: pixels in [0, 1] plus noise."""
    generator = np.random.default_rng(np.random.SeedSequence(seed).spawn(2)[SPLITS.index(split)])
    for chunk in chunks(images, _CHUNK_BYTES):
        pixels = generator.standard_normal(chunk.shape, dtype=np.float32)
        pixels *= noise_std
        pixels += chunk / np.float32(255)
        yield pixels


def mean_image(train: np.ndarray, noise_std: float, seed: int) -> np.ndarray:
    """The mean [H, W] float32 of the noisy training images."""
    total = np.zeros(train.shape[1:])
    for chunk in noisy(train, "train", noise_std, seed):
        total += chunk.sum(axis=0, dtype=np.float64)
    return (total / len(train)).astype(np.float32)


def check_splits(arrays: dict[str, np.ndarray]) -> None:
    """Raises UserError unless both splits are 8-bit images of one size."""
    for split in SPLITS:
        check_images(arrays[split], split)
    sizes = [arrays[split].shape[1:] for split in SPLITS]
    if sizes[0] != sizes[1]:
        raise UserError(f"train has images of shape {sizes[0]}, test of {sizes[1]}; they must be the same")


def check_noise(noise_std: float, seed: int) -> None:
    """Raises ValueError or TypeError unless these are a standard deviation and a seed."""
    if not isinstance(noise_std, numbers.Real):
        raise TypeError(f"noise_std must be a number, not {noise_std!r}")
    if not 0 <= noise_std < _NOISE_LIMIT:
        raise UserError(f"noise_std must be at least 0 and below {_NOISE_LIMIT:g}, not {noise_std}")
    whole("seed", seed)
