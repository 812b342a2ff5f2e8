"""Small data sets on disk, for the tests of the data layer."""

import gzip
import hashlib
import struct

import numpy as np

FILE_NAMES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
COUNTS = {"train": 30, "test": 12}


def small_images(seed=0, size=(28, 28), counts=COUNTS):
    """{split: images [N, H, W] uint8}."""
    random = np.random.default_rng(seed)
    return {split: random.integers(0, 256, [count, *size], dtype=np.uint8) for split, count in counts.items()}


def idx_bytes(values, code=0x08):
    """The bytes of an IDX file."""
    return struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape) + values.tobytes()


def write_idx(folder, seed=0, gzipped=False, size=(28, 28)):
    """Writes the four small IDX files; returns their images."""
    folder.mkdir(parents=True, exist_ok=True)
    images = small_images(seed, size)
    for split, name in FILE_NAMES.items():
        labels = np.random.default_rng(seed).integers(0, 10, COUNTS[split], dtype=np.uint8)
        for file, values in ((name, images[split]), (name.replace("images-idx3", "labels-idx1"), labels)):
            data = idx_bytes(values)
            (folder / f"{file}.gz" if gzipped else folder / file).write_bytes(gzip.compress(data) if gzipped else data)
    return images


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def contents(splits):
    """The bytes of what `load_splits` returned."""
    return [split.images.tobytes() for split in splits]
