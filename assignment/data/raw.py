"""8-bit images as they came, before any preprocessing, and what they must look like."""

import hashlib
from dataclasses import dataclass

import numpy as np

from assignment.errors import UserError


@dataclass(frozen=True, eq=False)
class RawImages:
    """Both splits of one data set.

    Attributes:
      name: the data set that these bytes are, `mnist_sample` after falling back on it.
      train, test: [N, H, W] uint8, the same H and W.
      source: where the bytes came from, in words.
      folder: where they lie now.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    source: str
    folder: str

    def __post_init__(self):
        for split in ("train", "test"):
            check_images(getattr(self, split), f"the {split} split of {self.name}")
        if self.train.shape[1:] != self.test.shape[1:]:
            raise UserError(
                f"{self.name}: training images are {_size(self.train)}, test images {_size(self.test)} pixels; "
                "both splits must have images of one size"
            )

    def __str__(self):
        return (
            f"{self.name}: {len(self.train):,} training and {len(self.test):,} test images of "
            f"{_size(self.train)} pixels in {self.folder} ({self.source})"
        )


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


def _size(images):
    return "×".join(map(str, images.shape[1:]))
