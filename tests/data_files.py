"""Small data sets on disk, for the tests of the data layer."""

import gzip
import hashlib
import io
import struct

import numpy as np
from PIL import Image

FILE_NAMES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
COUNTS = {"train": 30, "test": 12}


def small_images(seed=0, size=(28, 28), counts=COUNTS):
    """{split: images [N, H, W] uint8}."""
    random = np.random.default_rng(seed)
    return {split: random.integers(0, 256, [count, *size], dtype=np.uint8) for split, count in counts.items()}


def write_files(folder, files):
    """Writes {name: bytes} to a folder and folders in it; returns the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def idx_bytes(values, code=0x08):
    """The bytes of an IDX file."""
    return struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape) + values.tobytes()


def npy_bytes(array, **options):
    """The bytes of a `.npy` file."""
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz_bytes(**arrays):
    """The bytes of a `.npz` file."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def picture_bytes(pixels, kind="png", mode=None, **options):
    """The bytes of a picture, after conversion to a mode of Pillow."""
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


def write_idx(folder, seed=0, gzipped=False, size=(28, 28)):
    """Writes the four small IDX files; returns their images."""
    images = small_images(seed, size)
    for split, name in FILE_NAMES.items():
        labels = np.zeros(COUNTS[split], np.uint8)
        files = {name: idx_bytes(images[split]), name.replace("images-idx3", "labels-idx1"): idx_bytes(labels)}
        write_files(folder, {f"{k}.gz": gzip.compress(v) for k, v in files.items()} if gzipped else files)
    return images


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def contents(splits):
    """The bytes of what `load_splits` returned."""
    return [split.images.tobytes() for split in splits]


def alter(path):
    """Changes one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path, count=4):
    """Takes the last bytes off a file."""
    path.write_bytes(path.read_bytes()[:-count])
