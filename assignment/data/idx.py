"""IDX files, the format in which MNIST and its relatives are handed out.

A file is two zero bytes, a code for the type, the rank, one big-endian 32-bit length for each axis, and then the values
row by row (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits").
"""

import gzip
import math
import mmap
import os
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from assignment.data.preprocessing import check_images
from assignment.errors import UserError

_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}


def read_folder(folder: str | os.PathLike) -> dict[str, np.ndarray]:
    """The images of both splits from the IDX files of a folder, or of folders in it, two levels deep.

    The content decides, not the ending: `train-images-idx3-ubyte`, `train-images.idx3-ubyte`,
    `emnist-digits-train-images-idx3-ubyte.gz`. The name says the split: `train`, or `t10k` or `test`. Labels are not
    read.

    Returns:
      {"train": [N, H, W] uint8, "test": the same}; memory maps of files that are not gzipped.

    Raises:
      UserError: the folder or a file is missing, unreadable, damaged, or there are two for one split.
    """
    folder = Path(os.path.expanduser(folder))
    if not os.path.isdir(folder):
        raise UserError(f"the IDX folder {folder} does not exist; name a folder that holds IDX files of images")
    paths = [path for depth in ("*", "*/*", "*/*/*") for path in sorted(folder.glob(depth)) if path.is_file()]
    arrays = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        found = [path for path in paths if _holds(path, split)]
        if not found:
            example = f"{prefix}-images-idx3-ubyte"
            raise UserError(f"{folder} lacks the {split} images: an IDX file with a name such as {example}")
        arrays[split], *others = map(_read, found)
        for path, other in zip(found[1:], others, strict=True):
            if not np.array_equal(arrays[split], other):
                both = f"{found[0]} and {path} both hold {split} images"
                raise UserError(f"{both}, and not the same; name the folder of one")
    return arrays


def _holds(path: Path, split: str) -> bool:
    """Does a file hold the images of a split? Not if it holds labels, is hidden, or is of another kind."""
    name = path.name.lower()
    named = "train" if "train" in name else "test" if "t10k" in name or "test" in name else None
    if named != split or "label" in name or name.startswith("."):
        return False
    if "image" in name:
        return True
    try:
        with _open(path) as file:
            return bool(re.match(rb"\0\0[\x08-\x0e]\x03", file.read(4)))
    except (OSError, EOFError, zlib.error):
        return False


def _open(path: Path) -> BinaryIO:
    """The file, unzipped if it is a gzip file by its content."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if zipped else open(path, "rb")


def _read(path: Path) -> np.ndarray:
    """The images [N, H, W] of an IDX file, gzipped or not."""
    try:
        with _open(path) as file:
            mapped = not isinstance(file, gzip.GzipFile) and path.stat().st_size > 0
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if mapped else file.read()
        zeros, code, rank = struct.unpack(">HBB", content[:4])
        if zeros or code not in _TYPES:
            raise UserError(f"{path} is no IDX file: wrong magic number 0x{content[:4].hex()}")
        start = 4 + 4 * rank
        shape = struct.unpack(f">{rank}I", content[4:start])
    except struct.error:
        raise UserError(f"{path} is truncated within its header; get the file again") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is a damaged gzip file ({error}); get the file again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    found, needed = len(content) - start, math.prod(shape) * np.dtype(_TYPES[code]).itemsize
    if found < needed:
        raise UserError(f"{path} is truncated: only {found:,} bytes for shape {shape}; get the file again")
    # Takes no memory, whatever the header says.
    check_images(np.broadcast_to(np.zeros([], _TYPES[code]), shape[:4]), path)
    if found > needed:
        raise UserError(f"{path} is longer than its header says: {found:,} bytes for shape {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
