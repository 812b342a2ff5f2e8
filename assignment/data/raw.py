"""8-bit images as they come, before any preprocessing."""

import hashlib
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assignment.errors import UserError

SPLITS = ("train", "test")
_CHUNK_BYTES = 2**22


@dataclass(frozen=True, eq=False)
class RawImages:
    """Both splits of a data set.

    Attributes:
      name: what results call it.
      source: where the bytes came from, in words.
      digest: SHA-256 of all that decides the pixels.
      open: function from an empty folder, which it may write to, to {"train": [N, H, W] uint8, "test": the same}.
      fallback: the bundled sample in place of the data set that was asked for.
    """

    name: str
    source: str
    digest: str
    open: Callable[[Path], dict[str, np.ndarray]]
    fallback: bool = False


def chunk_length(size: tuple[int, ...]) -> int:
    """How many images of a size (H, W) are worked on at once: they take 4 MiB as float32. At least one."""
    return max(1, _CHUNK_BYTES // (4 * size[0] * size[1]))


def chunks_of(images: np.ndarray) -> Iterator[np.ndarray]:
    """An array [N, H, W] in pieces of `chunk_length`; see `give_back`."""
    length = chunk_length(images.shape[1:])
    for start in range(0, len(images), length):
        yield images[start : start + length]
        give_back(images)


def give_back(images: np.ndarray) -> None:
    """Lets go of what was read of a memory map, so that the process does not grow with it."""
    base = images
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


def check_images(images: np.ndarray, what: str, least: int = 1) -> None:
    """Raises UserError unless `images` is a uint8 array [N, H, W], N > 0, H and W at least `least`."""
    if not isinstance(images, np.ndarray):
        raise UserError(f"{what} is a {type(images).__name__}; a NumPy array of 8-bit images [N, H, W] is needed")
    if images.dtype != np.uint8:
        raise UserError(f"{what} holds {images.dtype.name} pixels; 8-bit pixels (uint8, 0 to 255) are needed")
    if images.ndim != 3:
        raise UserError(f"{what} has shape {images.shape}; [N, H, W] is needed: single-channel images of one size")
    if images.size == 0:
        raise UserError(f"{what} is empty (shape {images.shape}); at least one image of at least one pixel is needed")
    if min(images.shape[1:]) < least:
        height, width = images.shape[1:]
        raise UserError(f"{what} holds images of {height}×{width} pixels; {least}×{least} is the smallest size")


def sha256(images: np.ndarray) -> str:
    """SHA-256 of the images' bytes in order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for chunk in chunks_of(images):
        digest.update(np.ascontiguousarray(chunk))
    return digest.hexdigest()


def joint_sha256(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of the shapes and the pixels of both splits."""
    return hashlib.sha256(repr([(arrays[s].shape, sha256(arrays[s])) for s in SPLITS]).encode()).hexdigest()
