"""IDX files, the format in which MNIST and its relatives are handed out.

A file is two zero bytes, a code for the type, the rank, one big-endian 32-bit length for each axis, and then the values
row by row (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits").
"""

import contextlib
import gzip
import hashlib
import io
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assignment.data.raw import SPLITS, check_images
from assignment.errors import UserError

# For each split the usual names of its images and of its labels.
FILE_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_READ_BYTES = 2**22
_REMEDY = "get the file again"


@dataclass(frozen=True, eq=False)
class IdxSplit:
    """One split. Its images stay in their file.

    Attributes:
      images: `IdxFile` of N images.
      labels: [N] uint8.
    """

    images: "IdxFile"
    labels: np.ndarray

    @property
    def size(self):
        """(H, W)."""
        return self.images.shape[1:]


class IdxFile:
    """One IDX file, read in pieces.

    Attributes:
      shape, dtype: what its header says.
    """

    def __init__(self, open_file, where):
        """Reads the header.

        Args:
          open_file: function that opens the file for reading bytes.
          where: its name in messages.

        Raises:
          UserError: unreadable, not an IDX file, or of an unknown type.
        """
        self.where = where
        self._open = open_file
        with self._reading() as file:
            self.dtype, self.shape = _header(file, where)

    def chunks(self):
        """Its values in order, in arrays [≤ m, …] of at most 4 MiB, if not one row alone; at least one, maybe empty.

        Raises:
          UserError: the file is damaged, or has fewer or more values than its header says.
        """
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        length = max(1, _READ_BYTES // max(1, row_bytes))
        with self._reading() as file:
            _header(file, self.where)
            left = self.shape[0]
            while True:
                count = min(left, length)
                data = _read(file, count * row_bytes)
                if len(data) < count * row_bytes:
                    found = (self.shape[0] - left) * row_bytes + len(data)
                    raise self._wrong("is truncated", f"{found:,} are there")
                left -= count
                yield np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])
                if not left:
                    break
            if file.read(1):
                raise self._wrong("is longer than its header says", "more are there")

    def array(self):
        """All its values."""
        return np.concatenate(list(self.chunks()))

    def _wrong(self, fault, found):
        expected = math.prod(self.shape) * self.dtype.itemsize
        return UserError(f"{self.where} {fault}: {expected:,} bytes for shape {self.shape}, but {found}; {_REMEDY}")

    @contextlib.contextmanager
    def _reading(self):
        try:
            with self._open() as file:
                yield file
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UserError(f"{self.where} is a damaged gzip file ({error}); {_REMEDY}") from error
        except OSError as error:
            raise UserError(f"cannot read {self.where}: {error.strerror}") from error


def read_folder(folder):
    """Checks the four IDX files of a folder, each as it is or with `.gz`, by reading them to the end once.

    Args:
      folder: path of the folder.

    Returns:
      ({"train": IdxSplit, "test": IdxSplit}, SHA-256 of all their values as hexadecimal digits).

    Raises:
      UserError: the folder or a file is missing, unreadable, damaged or not what its name says.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"the IDX folder {folder} does not exist; name a folder that holds {_all_names()}")
    return _check(lambda name: _in_folder(folder, name))


def parse_files(read):
    """Like `read_folder`, with a function from a file's usual name to its bytes in the place of the folder."""
    return _check(lambda name: IdxFile(lambda: io.BytesIO(read(name)), name))


def _check(find):
    """Opens the files with `find(name)`, an IdxFile, and reads them to the end."""
    digest = hashlib.sha256()
    splits = {}
    for split in SPLITS:
        images, labels = (find(name) for name in FILE_NAMES[split])
        for chunk in images.chunks():
            check_images(chunk, images.where)
            digest.update(chunk)
        _check_labels(images, labels)
        splits[split] = IdxSplit(images, labels.array())
        digest.update(splits[split].labels)
    return splits, digest.hexdigest()


def _check_labels(images, labels):
    if len(labels.shape) != 1 or labels.dtype != np.uint8:
        raise UserError(f"{labels.where} holds {labels.dtype.name} of shape {labels.shape}; one byte a label is needed")
    if images.shape[0] != labels.shape[0]:
        raise UserError(
            f"{images.where} holds {images.shape[0]:,} images, but {labels.where} {labels.shape[0]:,} labels"
        )


def _header(file, where):
    """(dtype, shape)."""
    start = _read(file, 4)
    zeros, code, rank = struct.unpack(">HBB", start) if len(start) == 4 else (0, 0x08, 1)
    if zeros:
        raise UserError(f"{where} is no IDX file: wrong magic number 0x{start.hex()}; {_REMEDY}")
    if code not in _TYPES:
        raise UserError(f"{where}: unknown type code 0x{code:02x} in the IDX header; {_REMEDY}")
    if not rank:
        raise UserError(f"{where} is no IDX file of images or labels: it has no axes; {_REMEDY}")
    axes = _read(file, 4 * rank)
    if len(start) + len(axes) < 4 + 4 * rank:
        raise UserError(f"{where} is truncated: it ends within its header, after {len(start + axes)} bytes; {_REMEDY}")
    return np.dtype(_TYPES[code]), struct.unpack(f">{rank}I", axes)


def _read(file, count):
    """`count` bytes, or fewer at the end of the file: no header can ask for more memory than there is file."""
    pieces = []
    while count and (piece := file.read(min(count, _READ_BYTES))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _in_folder(folder, name):
    plain, zipped = folder / name, folder / f"{name}.gz"
    if plain.exists():
        return IdxFile(lambda: open(plain, "rb"), plain)
    if zipped.exists():
        return IdxFile(lambda: gzip.open(zipped, "rb"), zipped)
    raise UserError(f"{folder} lacks {name} (or {name}.gz); it must hold {_all_names()}")


def _all_names():
    return ", ".join(name for names in FILE_NAMES.values() for name in names)
