"""8-bit images as they came, before any preprocessing, and what they must look like."""

import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assignment.errors import UserError

SPLITS = ("train", "test")
_CHUNK_BYTES = 2**22


@dataclass(frozen=True, eq=False)
class RawImages:
    """Both splits of one data set, where they lie.

    Attributes:
      name: the data set that these bytes are, `mnist_sample` after falling back on it.
      counts: {split: number of images}.
      size: (H, W), the same for both splits.
      source: where the bytes came from, in words.
      data_dir: the data folder that they belong to.
      files: the file, or the folder of files, that holds them.
      read: function from a split's name to its images in order, in arrays [≤ m, H, W] uint8; see `chunks`.
      idx_sha256: of the IDX files that they were prepared from, None where they were not.
    """

    name: str
    counts: dict[str, int]
    size: tuple[int, int]
    source: str
    data_dir: Path
    files: Path
    read: Callable[[str], Iterator[np.ndarray]]
    idx_sha256: str | None = None

    def __post_init__(self):
        for split in SPLITS:
            if not self.counts[split]:
                raise UserError(f"the {split} split of {self.name} is empty")

    def chunks(self, split):
        """The images of a split in order, in arrays [≤ m, H, W] uint8, m = `chunk_length(size)`.

        Raises:
          UserError: the files are damaged.
        """
        return self.read(split)

    def array(self, split):
        """The images of a split in memory, [N, H, W] uint8."""
        images = np.empty([self.counts[split], *self.size], np.uint8)
        start = 0
        for chunk in self.chunks(split):
            images[start : start + len(chunk)] = chunk
            start += len(chunk)
        return images

    @functools.cached_property
    def train(self):
        """`array("train")`, kept."""
        return self.array("train")

    @functools.cached_property
    def test(self):
        """`array("test")`, kept."""
        return self.array("test")

    def __str__(self):
        return (
            f"{self.name}: {self.counts['train']:,} training and {self.counts['test']:,} test images of "
            f"{'×'.join(map(str, self.size))} pixels in {self.files} ({self.source})"
        )


def chunk_length(size):
    """How many images of a size (H, W) are worked on at once: as float32 they take at most 4 MiB, if not one alone."""
    return max(1, _CHUNK_BYTES // (4 * size[0] * size[1]))


def chunks_of(images):
    """An array [N, H, W] in pieces of `chunk_length`."""
    length = chunk_length(images.shape[1:])
    for start in range(0, len(images), length):
        yield images[start : start + length]


def check_images(images, what):
    """Raises UserError unless `images` is a non-empty uint8 array [N, H, W]; `what` names it in the message."""
    if not isinstance(images, np.ndarray):
        raise UserError(f"{what} is a {type(images).__name__}; a NumPy array of 8-bit images [N, H, W] is needed")
    if np.issubdtype(images.dtype, np.inexact) and not np.isfinite(images).all():
        raise UserError(f"{what} holds NaN or infinite pixels; 8-bit pixels (uint8, 0 to 255) are needed")
    if images.dtype != np.uint8:
        raise UserError(f"{what} holds {images.dtype.name} pixels; 8-bit pixels (uint8, 0 to 255) are needed")
    if images.ndim != 3:
        raise UserError(f"{what} has shape {images.shape}; [N, H, W] is needed: single-channel images of one size")
    if images.size == 0:
        raise UserError(f"{what} is empty (shape {images.shape}); at least one image of at least one pixel is needed")


def sha256(images):
    """SHA-256 of the images' bytes in order, as hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(images)).hexdigest()
