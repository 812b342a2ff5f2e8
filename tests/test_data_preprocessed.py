"""Preprocessed images in the data folder: made once, found again, checked, mended, and whole whatever happens."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from data_files import write_idx

from assignment.data import load_splits, open_splits, prepare, preprocessed, store
from assignment.errors import UserError

FOLDER = "preprocessed/mnist_sample/std0.1-seed0"
FILES = ["facts.json", "mean.float32", "test.float32", "train.float32"]
WRITING = "writing the preprocessed images of mnist_sample (once, 8 MB)"


@pytest.fixture(scope="module")
def expected():
    """The images of the sample, as they are in memory."""
    return [split.images.tobytes() for split in load_splits("mnist_sample")]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("made")
    open_splits("mnist_sample", data_dir=data_dir)
    return data_dir


@pytest.fixture
def made(made_once, tmp_path, capsys):
    """A data folder with the preprocessed sample, that a test may damage."""
    capsys.readouterr()
    return shutil.copytree(made_once, tmp_path / "data")


@pytest.fixture(scope="module")
def mnist_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist")
    write_idx(folder / "idx")
    open_splits("mnist", data_dir=folder / "data", idx_dir=folder / "idx")
    return folder


@pytest.fixture
def mnist(mnist_once, tmp_path, capsys):
    """A folder with the IDX files of a small mnist, `idx`, and the data folder made of them, `data`."""
    capsys.readouterr()
    return shutil.copytree(mnist_once, tmp_path / "mnist")


def contents(streams):
    return [np.concatenate(list(stream.chunks())).tobytes() for stream in streams]


def listing(folder):
    return sorted(os.listdir(folder))


def test_they_are_written_once_with_a_word_on_size_and_place(tmp_path, expected, capsys):
    assert contents(open_splits("mnist_sample", data_dir=tmp_path / "data")) == expected
    assert capsys.readouterr().err == f"{WRITING} to {tmp_path / 'data' / FOLDER} …\n"
    assert listing(tmp_path / "data") == [".lock", "preprocessed"] and listing(tmp_path / "data" / FOLDER) == FILES
    assert contents(open_splits("mnist_sample", data_dir=tmp_path / "data")) == expected
    assert capsys.readouterr().err == ""


def test_noise_and_seeds_have_places_of_their_own(made):
    for noise_std, seed in ((0.1, 1), (0, 0), (np.float32(0.25), np.int64(2)), (0.1, 0)):
        streams = open_splits("mnist_sample", noise_std, seed, data_dir=made)
        images = load_splits("mnist_sample", noise_std, seed)
        assert contents(streams) == [split.images.tobytes() for split in images]
    folders = ["std0.0-seed0", "std0.1-seed0", "std0.1-seed1", "std0.25-seed2"]
    assert listing(made / "preprocessed" / "mnist_sample") == folders


def test_prepared_sets_are_found_again_without_tensorflow(mnist):
    code = (
        "import sys; from assignment.data import open_splits;"
        "train, test = open_splits('mnist', data_dir=sys.argv[1], idx_dir=sys.argv[2] or None);"
        "print(len(train), len(test), train.sha256, train.source);"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    train, _ = load_splits("mnist", data_dir=mnist / "data")
    for idx_dir in ("", mnist / "idx"):
        command = [sys.executable, "-c", code, mnist / "data", idx_dir]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == f"30 12 {train.sha256} {train.source}" and done.stderr == ""


def test_other_idx_files_have_preprocessed_images_of_their_own(mnist):
    write_idx(mnist / "other", seed=1)
    first, other = (open_splits("mnist", data_dir=mnist / "data", idx_dir=mnist / name) for name in ("idx", "other"))
    in_memory = load_splits("mnist", data_dir=mnist / "data", idx_dir=mnist / "other")
    assert contents(other) == [split.images.tobytes() for split in in_memory] != contents(first)
    assert contents(open_splits("mnist", data_dir=mnist / "data")) == contents(first)


def test_idx_files_that_are_damaged_later_are_refused(mnist):
    path = mnist / "idx" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="t10k-images-idx3-ubyte is truncated"):
        open_splits("mnist", data_dir=mnist / "data", idx_dir=mnist / "idx")


def test_where_mnist_cannot_be_had_the_sample_says_so(tmp_path, expected):
    for _ in range(2):
        streams = open_splits("mnist", data_dir=tmp_path)
        assert contents(streams) == expected
        for stream in streams:
            assert stream.name == "mnist_sample" and "in the place of mnist, which could not be had" in stream.source
    assert "part of this package" in open_splits("mnist_sample", data_dir=tmp_path)[0].source


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"noise_std": -0.1}, UserError, "noise_std .* not -0.1"),
        ({"noise_std": "0.1"}, TypeError, "noise_std must be a number, not '0.1'"),
        ({"seed": -1}, UserError, "seed .* not -1"),
        ({"seed": 0.5}, TypeError, "seed must be an integer, not 0.5"),
        ({"name": None}, TypeError, "name must be a string, not None"),
        ({"name": "../mnist_sample"}, UserError, "unknown data set '../mnist_sample'"),
        ({"name": "mnist\0"}, UserError, "unknown data set"),
        ({"idx_dir": "somewhere"}, UserError, "comes with this package"),
        ({"name": "mnist", "idx_dir": "nowhere"}, UserError, "IDX folder nowhere does not exist"),
    ],
)
def test_bad_arguments_are_refused_by_name(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        open_splits(**{"name": "mnist_sample", "data_dir": tmp_path / "data", **arguments})
    assert not (tmp_path / "data").exists()


# Damage.


def _remove(path):
    path.unlink()


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-4])


def _lengthen(path):
    path.write_bytes(path.read_bytes() + bytes(4))


def _alter(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _empty(path):
    path.write_bytes(b"")


def _replace_by_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_remove, _truncate, _lengthen, _alter, _empty, _replace_by_folder])
@pytest.mark.parametrize("file", FILES)
def test_damage_is_noticed_and_mended(made, expected, capsys, file, damage):
    damage(made / FOLDER / file)
    assert contents(open_splits("mnist_sample", data_dir=made)) == expected
    told = capsys.readouterr().err
    assert f"making the preprocessed images in {made / FOLDER} again: " in told and WRITING in told
    assert file in told or "JSON" in told
    assert contents(open_splits("mnist_sample", data_dir=made)) == expected
    assert capsys.readouterr().err == ""
    assert listing(made) == [".lock", "preprocessed"]


def _change_facts(made, change):
    path = made / FOLDER / "facts.json"
    facts = json.loads(path.read_text())["facts"]
    change(facts)
    preprocessed._write_facts(path, facts)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts["made"].update(numpy="1.0"),
        lambda facts: facts["made"].update(layout=0),
        lambda facts: facts["made"].update(seed=1),
        lambda facts: facts.pop("made"),
        lambda facts: facts.clear(),
        lambda facts: facts.update(raw_files="nowhere"),
        lambda facts: facts.update(raw_sha256="0" * 64),
        lambda facts: facts.update(size=[28, 29]),
        lambda facts: facts["train"].update(count=1999),
        lambda facts: facts.update(test=None),
    ],
)
def test_what_was_made_in_another_way_is_made_again(made, expected, capsys, change):
    _change_facts(made, change)
    assert contents(open_splits("mnist_sample", data_dir=made)) == expected
    assert "again: " in capsys.readouterr().err


def test_a_set_prepared_anew_has_preprocessed_images_anew(mnist, capsys):
    old = open_splits("mnist", data_dir=mnist / "data")
    old_contents = contents(old)
    shutil.rmtree(mnist / "data" / "mnist")
    write_idx(mnist / "other", seed=1)
    prepare("mnist", mnist / "data", mnist / "other")
    new = open_splits("mnist", data_dir=mnist / "data")
    assert "the data that they were made from has changed" in capsys.readouterr().err
    in_memory = load_splits("mnist", data_dir=mnist / "data")
    assert contents(new) == [split.images.tobytes() for split in in_memory] != old_contents
    assert contents(old) == old_contents, "an open stream is of the images that were checked"


SHARD = "mnist-train.tfrecord-00000-of-00001"


@pytest.mark.parametrize(
    "file, damage, message",
    [
        (SHARD, _alter, "DataLossError"),
        (SHARD, _truncate, "DataLossError"),
        (SHARD, _remove, "NotFoundError"),
        ("dataset_info.json", _remove, "dataset_info.json is missing"),
    ],
)
def test_damaged_prepared_data_is_refused_whatever_was_made_of_it(mnist, file, damage, message):
    damage(mnist / "data" / "mnist" / "3.0.1" / file)
    with pytest.raises(UserError, match=f"damaged.*{message}.*delete that folder and run again") as caught:
        open_splits("mnist", data_dir=mnist / "data")
    assert "\n" not in str(caught.value)
    assert not list((mnist / "data").glob(".preparing-*"))


def test_a_file_cut_short_while_it_is_read_is_an_error(made):
    train, _ = open_splits("mnist_sample", data_dir=made)
    with open(made / FOLDER / "train.float32", "r+b") as file:
        file.truncate(1000)
    with pytest.raises(UserError, match="train.float32 was cut short while it was read"):
        train.take(1)


# A folder that cannot be written to, processes that are killed, and two at once.


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The folder for temporary files, empty."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


@pytest.mark.parametrize("number, words", [(13, "Permission denied"), (30, "Read-only file system")])
def test_a_read_only_data_folder_is_gone_round(tmp_path, expected, scratch, monkeypatch, capsys, number, words):
    acquire = store._acquire

    def forbid(lock, data_dir):
        if data_dir == tmp_path / "data":
            raise OSError(number, words)
        acquire(lock, data_dir)

    monkeypatch.setattr(store, "_acquire", forbid)
    streams = open_splits("mnist_sample", data_dir=tmp_path / "data")
    assert listing(scratch) == []
    assert contents(streams) == expected
    told = capsys.readouterr().err
    assert f"cannot write to the data folder {tmp_path / 'data'} ({words})" in told
    assert f"go to {scratch}" in told and told.count(WRITING) == 1


def test_prepared_data_that_may_not_be_read(tmp_path, monkeypatch):
    def forbid(*arguments):
        raise PermissionError(13, "Permission denied", "some.tfrecord")

    monkeypatch.setattr(preprocessed.hashlib, "file_digest", forbid)
    with pytest.raises(UserError, match="cannot read some.tfrecord: Permission denied"):
        open_splits("mnist_sample", data_dir=tmp_path)


@pytest.fixture
def full_disk():
    """No file of this process may grow beyond 5 MB: so a real write fails in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, scratch, full_disk):
    with pytest.raises(UserError, match="cannot write to the data folder .* with room in it"):
        open_splits("mnist_sample", data_dir=tmp_path / "data")
    assert listing(tmp_path / "data") == [".lock"] and listing(scratch) == []


def test_a_data_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for data_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot write to the data folder.*ASSIGNMENT_DATA_DIR"):
            open_splits("mnist_sample", data_dir=data_dir)


KILLED = """
import os, pathlib, signal, sys
from assignment.data import open_splits, preprocessed

module, name, call = sys.argv[2], sys.argv[3], int(sys.argv[4])
home = pathlib.Path if module == "Path" else preprocessed
original, calls = getattr(home, name), []

def wrapped(*arguments):
    calls.append(name)
    if len(calls) == call:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)

setattr(home, name, wrapped)
open_splits("mnist_sample", data_dir=sys.argv[1])
"""
MOMENTS = [
    ("preprocessed", "_write_chunks", 2),
    ("preprocessed", "_subtract", 2),
    ("preprocessed", "_write_facts", 1),
    ("Path", "rename", 1),
    ("Path", "rename", 2),
]


@pytest.mark.parametrize("module, name, call", MOMENTS)
def test_what_a_killed_process_left_is_made_good(made, expected, module, name, call):
    """With damaged images in place, so that they are taken away (the first renaming) before the new ones come."""
    _truncate(made / FOLDER / "train.float32")
    command = [sys.executable, "-c", KILLED, made, module, name, str(call)]
    assert subprocess.run(command, capture_output=True).returncode == -9
    assert list(made.glob(".preparing-*"))
    assert (made / FOLDER).exists() == ((name, call) != ("rename", 2))
    assert contents(open_splits("mnist_sample", data_dir=made)) == expected
    assert listing(made) == [".lock", "preprocessed"] and listing(made / FOLDER) == FILES


def test_two_processes_at_once_write_once(tmp_path, expected):
    code = (
        "import hashlib, sys; from assignment.data import open_splits;"
        "print([hashlib.sha256(s.take(2000)).hexdigest() for s in open_splits('mnist_sample', data_dir=sys.argv[1])])"
    )
    command = [sys.executable, "-c", code, tmp_path]
    with store.workshop(tmp_path):  # Both come to wait, and then go on at once.
        both = [subprocess.Popen(command, stdout=-1, stderr=-1, text=True) for _ in range(2)]
        for process in both:
            assert "another process is preparing data" in process.stderr.readline()
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ""
    assert sum(err.count(WRITING) for _, err in outputs) == 1
    assert contents(open_splits("mnist_sample", data_dir=tmp_path)) == expected
