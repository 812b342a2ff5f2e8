"""Small data sets on disk, for the tests of the data layer."""

import gzip
import struct

import numpy as np

from assignment.data import idx

COUNTS = {"train": 30, "test": 12}


def idx_bytes(values, code=0x08):
    """The bytes of an IDX file."""
    return struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape) + values.tobytes()


def write_idx(folder, seed=0, gzipped=False):
    """Writes four small IDX files; returns {split: images [N, 28, 28] uint8}."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(seed)
    images = {}
    for split, names in idx.FILE_NAMES.items():
        images[split] = generator.integers(0, 256, [COUNTS[split], 28, 28], dtype=np.uint8)
        labels = generator.integers(0, 10, COUNTS[split], dtype=np.uint8)
        for name, values in zip(names, (images[split], labels), strict=True):
            data = idx_bytes(values)
            (folder / f"{name}.gz" if gzipped else folder / name).write_bytes(gzip.compress(data) if gzipped else data)
    return images


def rows(images):
    """The images as a sorted list, since preparing shuffles them."""
    return sorted(image.tobytes() for image in images)
