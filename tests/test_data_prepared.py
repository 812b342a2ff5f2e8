"""Data sets prepared with tensorflow-datasets: from IDX files, whole and damaged, by one process and by two."""

import os
import shutil
import struct
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from data_files import COUNTS, rows, write_idx

from assignment.data import idx, load_splits, prepare
from assignment.errors import UserError


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("ASSIGNMENT_OFFLINE", "1")


@pytest.fixture
def idx_dir(tmp_path):
    write_idx(tmp_path / "idx")
    return tmp_path / "idx"


@pytest.fixture(scope="module")
def prepared_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    write_idx(folder / "idx")
    prepare("mnist", folder / "data", folder / "idx")
    return folder / "data"


@pytest.fixture
def prepared(prepared_once, tmp_path):
    """A data folder with a prepared mnist that a test may damage."""
    return shutil.copytree(prepared_once, tmp_path / "data")


@pytest.mark.parametrize("name", ["fashion_mnist", "emnist/letters"])
def test_idx_files_are_prepared_for_the_stock_tfds(name, tmp_path):
    import tensorflow_datasets as tfds

    images = write_idx(tmp_path / "idx")
    raw = prepare(name, tmp_path / "data", tmp_path / "idx")
    assert "IDX files" in raw.source and raw.name == name
    for split in ("train", "test"):
        stock = tfds.load(name, split=split, data_dir=tmp_path / "data", download=False, batch_size=-1)
        np.testing.assert_array_equal(stock["image"].numpy()[..., 0], getattr(raw, split))
        assert rows(getattr(raw, split)) == rows(images[split])
    assert str(prepare(name, tmp_path / "data")) == str(raw)
    assert f"{name}: 30 training and 12 test images of 28×28" in str(raw)


def test_labels_stay_with_their_images(idx_dir, prepared_once):
    import tensorflow_datasets as tfds

    split = idx.read_folder(idx_dir)[0]["train"]
    stock = tfds.load("mnist", split="train", data_dir=prepared_once, download=False, batch_size=-1)
    assert _labelled(stock["image"].numpy(), stock["label"].numpy()) == _labelled(split.images.array(), split.labels)


def _labelled(images, labels):
    return {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}


def test_idx_files_named_are_used_whatever_is_prepared(prepared, tmp_path):
    other = write_idx(tmp_path / "other", seed=1)
    for _ in range(2):
        raw = prepare("mnist", prepared, tmp_path / "other")
        assert rows(raw.train) == rows(other["train"])
        assert "idx-" in str(raw.files)
    assert rows(prepare("mnist", prepared).train) != rows(other["train"])


def test_the_same_idx_files_are_not_prepared_twice(prepared, idx_dir, capsys):
    raw = prepare("mnist", prepared, idx_dir)
    assert raw.files == prepared / "mnist" / "3.0.1"
    assert capsys.readouterr().err == ""


def test_loading_prepared_data_is_repeatable(prepared):
    for a, b in zip(load_splits("mnist", data_dir=prepared), load_splits("mnist", data_dir=prepared), strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        assert (a.name, a.source, a.sha256) == (b.name, b.source, b.sha256)


def _remove(path):
    path.unlink()


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def _alter(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _drop_last_record(path):
    data = path.read_bytes()
    start = last = 0
    while start < len(data):
        last, start = start, start + 16 + struct.unpack_from("<Q", data, start)[0]
    path.write_bytes(data[:last])


SHARD = "mnist-train.tfrecord-00000-of-00001"


@pytest.mark.parametrize(
    "file, damage, message",
    [
        (SHARD, _alter, "DataLossError"),
        (SHARD, _truncate, "DataLossError"),
        (SHARD, _drop_last_record, "30"),
        (SHARD, _remove, "NotFoundError"),
        ("dataset_info.json", _remove, "dataset_info.json is missing"),
        ("dataset_info.json", _truncate, "ParseError"),
        ("origin.txt", lambda path: path.write_bytes(b"\xff"), "UnicodeDecodeError"),
    ],
)
def test_damaged_prepared_data_is_refused_with_the_remedy(prepared, file, damage, message):
    damage(prepared / "mnist" / "3.0.1" / file)
    with pytest.raises(UserError, match=f"damaged.*{message}.*delete that folder and run again") as caught:
        prepare("mnist", prepared)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, message",
    [
        ("mnits", "unknown data set 'mnits'; did you mean 'mnist'"),
        ("mnist_sampel", "did you mean 'mnist_sample'"),
        ("emnist/leters", "no configuration 'leters'; did you mean 'letters'"),
        ("", "unknown data set ''"),
        ("../mnist", "unknown data set '../mnist'"),
        ("mnist/", "no configuration ''"),
        ("cifar10", "not hold single-channel 8-bit images"),
        ("dices", "needs a package that is not installed" if not find_spec("pandas") else "not hold"),
        ("glue", "not hold single-channel 8-bit images"),
        ("kmnist", "could not be had: the network is forbidden"),
    ],
)
def test_unknown_and_unfit_names(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        prepare(name, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_idx_files_serve_only_sets_of_images_and_labels(idx_dir, tmp_path):
    with pytest.raises(UserError, match="cannot come from IDX files"):
        prepare("smallnorb", tmp_path / "data", idx_dir)


def test_a_data_folder_that_cannot_be_written_to(idx_dir, tmp_path):
    (tmp_path / "file").write_text("")
    for data_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot write to the data folder.*ASSIGNMENT_DATA_DIR"):
            prepare("mnist", data_dir, idx_dir)


def test_a_full_disk(idx_dir, tmp_path, monkeypatch):
    def full(path, *arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("assignment.data.catalogue.publish", full)
    with pytest.raises(UserError, match="No space left on device"):
        prepare("mnist", tmp_path / "data", idx_dir)
    assert os.listdir(tmp_path / "data") == [".lock"]


def test_the_data_folder_comes_from_the_environment(prepared, monkeypatch):
    monkeypatch.setenv("ASSIGNMENT_DATA_DIR", str(prepared))
    assert len(prepare("mnist").train) == COUNTS["train"]


def test_what_a_killed_process_left_is_cleared_away(idx_dir, tmp_path):
    (tmp_path / "data" / ".preparing-x" / "mnist").mkdir(parents=True)
    prepare("mnist", tmp_path / "data", idx_dir)
    assert sorted(os.listdir(tmp_path / "data")) == [".lock", "mnist"]


@pytest.mark.slow
def test_two_processes_at_once_prepare_once(idx_dir, tmp_path):
    code = "import sys; from assignment.data import prepare; print(prepare('mnist', *sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(tmp_path / "data"), str(idx_dir)]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ""
    assert sum(err.count("preparing 42 images") for _, err in outputs) == 1
    assert sorted(os.listdir(tmp_path / "data")) == [".lock", "mnist"]
