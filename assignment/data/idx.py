"""IDX files, the format in which MNIST and its relatives are handed out.

A file is two zero bytes, a code for the type, the rank, one big-endian 32-bit length for each axis, and then the values
row by row (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits").
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from assignment.data.raw import check_images
from assignment.errors import UserError

# For each split the usual names of its images and of its labels.
FILE_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_REMEDY = "get the file again"


def read_folder(folder):
    """Reads and checks the four IDX files of a folder, each as it is or with `.gz`.

    Args:
      folder: path of the folder.

    Returns:
      {"train": (images [N, H, W] uint8, labels [N] uint8), "test": the same}.

    Raises:
      UserError: the folder or a file is missing, unreadable, damaged or not what its name says.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"the IDX folder {folder} does not exist; name a folder that holds {_all_names()}")
    return parse_files(lambda name: _read_bytes(folder, name), where=f"{folder}/")


def parse_files(read, where):
    """Parses and checks the four IDX files.

    Args:
      read: function from a file's usual name to its bytes.
      where: what to put before a file's name in a message.

    Returns, Raises: see `read_folder`.
    """
    return {split: _parse_split(read, where, *names) for split, names in FILE_NAMES.items()}


def parse(data, where):
    """The array that `data`, the bytes of one IDX file, stand for; `where` names the file in messages.

    Raises:
      UserError: not an IDX file, an unknown type, fewer or more values than the header says.
    """
    zeros, code, rank = struct.unpack(">HBB", data[:4]) if len(data) >= 4 else (0, 0x08, 1)
    if zeros:
        raise UserError(f"{where} is no IDX file: wrong magic number 0x{data[:4].hex()}; {_REMEDY}")
    if code not in _TYPES:
        raise UserError(f"{where}: unknown type code 0x{code:02x} in the IDX header; {_REMEDY}")
    start = 4 + 4 * rank
    if len(data) < start:
        raise UserError(f"{where} is truncated: it ends within its header, after {len(data)} bytes; {_REMEDY}")
    shape = struct.unpack(f">{rank}I", data[4:start])
    dtype = np.dtype(_TYPES[code])
    expected, found = math.prod(shape) * dtype.itemsize, len(data) - start
    if found != expected:
        fault = "is truncated" if found < expected else "is longer than its header says"
        raise UserError(f"{where} {fault}: {expected:,} bytes for shape {shape}, but {found:,} are there; {_REMEDY}")
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


def _parse_split(read, where, images_name, labels_name):
    images = parse(read(images_name), where + images_name)
    check_images(images, where + images_name)
    labels = parse(read(labels_name), where + labels_name)
    if labels.ndim != 1 or labels.dtype != np.uint8:
        raise UserError(
            f"{where}{labels_name} holds {labels.dtype.name} of shape {labels.shape}; one byte a label is needed"
        )
    if len(images) != len(labels):
        raise UserError(f"{where}{images_name} holds {len(images):,} images, but {labels_name} {len(labels):,} labels")
    return images, labels


def _read_bytes(folder, name):
    plain, zipped = folder / name, folder / f"{name}.gz"
    try:
        if plain.exists():
            return plain.read_bytes()
        return gzip.decompress(zipped.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{folder} lacks {name} (or {name}.gz); it must hold {_all_names()}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{zipped} is a damaged gzip file ({error}); {_REMEDY}") from error
    except OSError as error:
        raise UserError(f"cannot read {name} in {folder}: {error.strerror}") from error


def _all_names():
    return ", ".join(name for names in FILE_NAMES.values() for name in names)
