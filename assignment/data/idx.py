"""IDX files, the format in which MNIST and its relatives are handed out.

A file is two zero bytes, a code for the type, the rank, one big-endian 32-bit length for each axis, and then the values
row by row (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits").
"""

import gzip
import math
import os
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from assignment.data.preprocessing import SPLITS, check_images
from assignment.errors import UserError

_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_NAMES = {"train": "train", "test": "t10k|test"}
_EXAMPLES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}


def read_folder(folder: str | os.PathLike) -> dict[str, np.ndarray]:
    """The images of both splits from the IDX files of a folder, or of folders in it, two levels deep.

    The content decides, not the ending: `train-images-idx3-ubyte`, `train-images.idx3-ubyte`,
    `emnist-digits-train-images-idx3-ubyte.gz`. The name says the split: `train`, or `t10k` or `test`. Labels are not
    read.

    Returns:
      {"train": [N, H, W] uint8, "test": the same}, memory maps.

    Raises:
      UserError: the folder or a file is missing, unreadable, damaged, or there are two for one split.
    """
    folder = Path(os.path.expanduser(folder))
    if not os.path.isdir(folder):
        raise UserError(f"the IDX folder {folder} does not exist; name a folder that holds IDX files of images")
    paths = [path for depth in ("*", "*/*", "*/*/*") for path in sorted(folder.glob(depth)) if path.is_file()]
    return {split: _read_only_one([path for path in paths if _holds(path, split)], split, folder) for split in SPLITS}


def _read_only_one(paths: list[Path], split: str, folder: Path) -> np.ndarray:
    """The images of the one file there is; of several, if they hold the same."""
    if not paths:
        raise UserError(f"{folder} lacks the {split} images: an IDX file with a name such as {_EXAMPLES[split]}")
    first, *others = map(_read, paths)
    for path, other in zip(paths[1:], others, strict=True):
        if not np.array_equal(first, other):
            raise UserError(f"{paths[0]} and {path} both hold {split} images, and not the same; name the folder of one")
    return first


def _holds(path: Path, split: str) -> bool:
    """Does a file hold the images of a split? Not if it holds labels, is hidden, or is of another kind."""
    name = path.name.lower()
    found = [split for split, words in _NAMES.items() if re.search(words, name)]
    if found[:1] != [split] or "label" in name or name.startswith("."):
        return False
    if "image" in name:
        return True
    try:
        with _unzipped(path) as file:
            return bool(re.match(rb"\0\0[\x08-\x0e]\x03", file.read(4)))
    except (OSError, EOFError, zlib.error):
        return False


def _read(path: Path) -> np.ndarray:
    """The images [N, H, W] of an IDX file, gzipped or not, as a memory map; of a temporary file if it is gzipped."""
    try:
        with _unzipped(path) as content, tempfile.TemporaryFile() as copy:
            file = content
            if isinstance(content, gzip.GzipFile):
                shutil.copyfileobj(content, copy)
                file = copy
                file.seek(0)
            start = file.read(4)
            zeros, code, rank = struct.unpack(">HBB", start + b"\0\0\x08\x01"[len(start) :])
            if zeros or code not in _TYPES:
                raise UserError(f"{path} is no IDX file: wrong magic number 0x{start.hex()}")
            axes = file.read(4 * rank)
            shape = struct.unpack(f">{len(axes) // 4}I", axes[: len(axes) // 4 * 4])
            left = os.fstat(file.fileno()).st_size - file.tell()
            if len(shape) < rank or left < math.prod(shape) * np.dtype(_TYPES[code]).itemsize:
                raise UserError(f"{path} is truncated: only {left:,} bytes for shape {shape}; get the file again")
            check_images(np.broadcast_to(np.zeros([], _TYPES[code]), shape[:4]), path)
            if left > math.prod(shape):
                raise UserError(f"{path} is longer than its header says: {left:,} bytes for shape {shape}")
            return np.memmap(file, np.uint8, "r", file.tell(), shape)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is a damaged gzip file ({error}); get the file again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


@contextmanager
def _unzipped(path: Path) -> Iterator[BinaryIO]:
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with (gzip.open if zipped else open)(path, "rb") as file:
        yield file
