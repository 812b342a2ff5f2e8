"""IDX files: what is read from them, and everything that can be wrong with them."""

import gzip
import shutil
import struct

import numpy as np
import pytest
from data_files import COUNTS, idx_bytes, write_idx

from assignment.data import idx, prepare
from assignment.errors import UserError


@pytest.fixture
def idx_dir(tmp_path):
    write_idx(tmp_path / "idx")
    return tmp_path / "idx"


@pytest.mark.parametrize("gzipped", [False, True])
def test_idx_files_are_read_plain_or_gzipped(tmp_path, gzipped):
    images = write_idx(tmp_path, gzipped=gzipped)
    for name, split in idx.read_folder(tmp_path)[0].items():
        np.testing.assert_array_equal(split.images.array(), images[name])
        assert split.labels.shape == (COUNTS[name],)


def test_images_of_a_file_come_in_bounded_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "_READ_BYTES", 4 * 28 * 28 + 5)
    images = write_idx(tmp_path, gzipped=True)["train"]
    pieces = list(idx.read_folder(tmp_path)[0]["train"].images.chunks())
    assert [len(piece) for piece in pieces] == [4] * 7 + [2]
    np.testing.assert_array_equal(np.concatenate(pieces), images)


def test_the_digest_is_that_of_the_values(tmp_path):
    for folder, seed, gzipped in (("a", 0, False), ("b", 0, True), ("c", 1, False)):
        write_idx(tmp_path / folder, seed, gzipped)
    first, zipped, other = (idx.read_folder(tmp_path / folder)[1] for folder in "abc")
    assert first == zipped != other


IMAGES = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
BAD_FILES = {
    "empty file": (b"", "truncated"),
    "within the magic number": (b"\0\0", "truncated"),
    "within the header": (idx_bytes(IMAGES)[:9], "truncated"),
    "within the pixels": (idx_bytes(IMAGES)[:-1], "truncated"),
    "longer than its header says": (idx_bytes(IMAGES) + b"\0", "longer than its header"),
    "absurd counts": (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "truncated"),
    "wrong magic number": (b"\x89PNG" + idx_bytes(IMAGES), "magic number 0x89504e47"),
    "unknown type": (idx_bytes(IMAGES, code=0x07), "type code 0x07"),
    "16-bit": (idx_bytes(IMAGES.astype(">i2"), code=0x0B), "int16 pixels"),
    "float": (idx_bytes(IMAGES.astype(">f4"), code=0x0D), "float32 pixels"),
    "float with NaN": (idx_bytes(np.full([2, 28, 28], np.nan, ">f8"), code=0x0E), "NaN or infinite"),
    "labels for images": (idx_bytes(IMAGES[:, 0, 0]), r"shape \(2,\)"),
    "no images": (idx_bytes(IMAGES[:0]), "is empty"),
    "fewer images than labels": (idx_bytes(IMAGES), "2 images.* 30 labels"),
    "wrong size": (idx_bytes(np.zeros([30, 20, 20], np.uint8)), "20×20.*28×28"),
}


@pytest.mark.parametrize("data, message", BAD_FILES.values(), ids=BAD_FILES)
def test_bad_idx_files_are_refused_and_leave_nothing(idx_dir, tmp_path, data, message):
    (idx_dir / "train-images-idx3-ubyte").write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        prepare("mnist", tmp_path / "data", idx_dir)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def _missing_folder(folder):
    shutil.rmtree(folder)


def _missing_file(folder):
    (folder / "t10k-images-idx3-ubyte").unlink()


def _folder_for_file(folder):
    _missing_file(folder)
    (folder / "t10k-images-idx3-ubyte").mkdir()


def _gzipped(folder):
    """Replaces one of the files by its gzipped form, and returns the path of that."""
    path = folder / "train-labels-idx1-ubyte"
    zipped = folder / f"{path.name}.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return zipped


def _truncated_gzip(folder):
    path = _gzipped(folder)
    path.write_bytes(path.read_bytes()[:-12])


def _altered_gzip(folder):
    path = _gzipped(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _no_gzip(folder):
    _gzipped(folder).write_bytes(b"plain text")


def _labels_out_of_range(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(30, 10, np.uint8)))


def _images_for_labels(folder):
    shutil.copy(folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte")


BAD_FOLDERS = [
    (_missing_folder, "does not exist"),
    (_missing_file, "lacks t10k-images-idx3-ubyte"),
    (_folder_for_file, "cannot read .*t10k-images-idx3-ubyte"),
    (_truncated_gzip, "damaged gzip"),
    (_altered_gzip, "damaged gzip"),
    (_no_gzip, "damaged gzip"),
    (_labels_out_of_range, "labels go up to 10"),
    (_images_for_labels, "one byte a label"),
]


@pytest.mark.parametrize("damage, message", BAD_FOLDERS)
def test_bad_idx_folders_are_refused_and_leave_nothing(idx_dir, tmp_path, damage, message):
    damage(idx_dir)
    with pytest.raises(UserError, match=message):
        prepare("mnist", tmp_path / "data", idx_dir)
    assert not (tmp_path / "data").exists()
