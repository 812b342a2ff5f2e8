"""Preprocessed images in the data folder: made once, found again, checked, mended, and whole whatever happens."""

import fcntl
import os
import resource
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from data_files import alter, contents, small_images, truncate, write_idx

from assignment.data import load_splits, preprocess, store
from assignment.errors import UserError

FILES = ["SHA256SUMS", "facts.json", "mean.npy", "test.npy", "train.npy"]
WRITING = "writing the preprocessed images of mine (once, 0 MB)"
IMAGES = small_images()
EXPECTED = [images.tobytes() for images in preprocess(**IMAGES)[:2]]


def load(data_dir):
    return load_splits("mine", images=IMAGES, data_dir=data_dir)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("made")
    load(data_dir)
    return data_dir


@pytest.fixture
def made(made_once, tmp_path, capsys):
    """A data folder with preprocessed images, that a test may damage."""
    capsys.readouterr()
    return shutil.copytree(made_once, tmp_path / "data")


def folder_of(data_dir):
    """The one folder of preprocessed images of a data folder."""
    (folder,) = (path for path in (data_dir / "preprocessed" / "mine").iterdir() if path.is_dir())
    return folder


def listing(folder):
    return sorted(os.listdir(folder))


def test_they_are_written_once_with_a_word_on_size_and_place(tmp_path, capsys):
    assert contents(load(tmp_path / "data")) == EXPECTED
    folder = folder_of(tmp_path / "data")
    assert capsys.readouterr().err == f"{WRITING} to {folder} …\n" and listing(folder) == FILES
    splits = load(tmp_path / "data")
    assert contents(splits) == EXPECTED and capsys.readouterr().err == ""
    assert all(isinstance(split.images, np.memmap) for split in splits)


def test_noise_seeds_and_images_have_places_of_their_own(tmp_path):
    for images in (small_images(0), small_images(1)):
        for noise_std, seed in ((0.1, 0), (0.1, 1), (0, 0), (np.float32(0.25), np.int64(2)), (0.1, 0)):
            load_splits("mine", noise_std, seed, images=images, data_dir=tmp_path)
    names = [name.rpartition("-")[0] for name in listing(tmp_path / "preprocessed" / "mine") if name != ".lock"]
    assert names == sorted(2 * ["std0.0-seed0", "std0.1-seed0", "std0.1-seed1", "std0.25-seed2"])


def test_what_is_given_is_looked_at_anew(tmp_path):
    """Images that change under an old name are never those of before."""
    write_idx(tmp_path / "idx")
    first = contents(load_splits(idx_dir=tmp_path / "idx", data_dir=tmp_path / "data"))
    write_idx(tmp_path / "idx", seed=1)
    other = contents(load_splits(idx_dir=tmp_path / "idx", data_dir=tmp_path / "data"))
    assert other != first
    assert other == contents(load_splits(images=small_images(1), data_dir=tmp_path / "data"))
    truncate(tmp_path / "idx" / "t10k-images-idx3-ubyte")
    with pytest.raises(UserError, match="t10k-images-idx3-ubyte is truncated"):
        load_splits(idx_dir=tmp_path / "idx", data_dir=tmp_path / "data")


# Damage.


DAMAGE = {
    "missing": os.unlink,
    "shorter": truncate,
    "longer": lambda path: path.write_bytes(path.read_bytes() + bytes(4)),
    "altered": alter,
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_damage_is_noticed_and_mended(made, capsys, file, damage):
    folder = folder_of(made)
    damage(folder / file)
    assert contents(load(made)) == EXPECTED
    told = capsys.readouterr().err
    assert f"making {folder} again" in told and WRITING in told
    assert contents(load(made)) == EXPECTED
    assert capsys.readouterr().err == "" and listing(folder) == FILES
    assert listing(folder.parent) == sorted([".lock", folder.name])


@pytest.mark.parametrize("name, value", [("numpy.__version__", "1.0"), ("assignment.data.images._LAYOUT", 0)])
def test_what_was_made_in_another_way_is_made_anew(made, capsys, monkeypatch, name, value):
    monkeypatch.setattr(name, value)
    assert contents(load(made)) == EXPECTED
    assert WRITING in capsys.readouterr().err


# A folder that cannot be written to, processes that are killed, and two at once.


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The folder for temporary files, empty."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


@pytest.mark.parametrize("number, words", [(13, "Permission denied"), (1, "not permitted"), (30, "Read-only")])
def test_a_read_only_data_folder_is_gone_round(tmp_path, scratch, monkeypatch, capsys, number, words):
    """Forbidden by a lock that cannot be had, since root may write everywhere."""
    flock = fcntl.flock

    def forbid(lock, how):
        if str(tmp_path / "data") in lock.name:
            raise OSError(number, os.strerror(number))
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", forbid)
    splits = load(tmp_path / "data")
    assert listing(scratch) == [] and contents(splits) == EXPECTED
    lines = capsys.readouterr().err.splitlines()
    assert f"cannot write to the data folder {tmp_path / 'data'} (" in lines[0] and words in lines[0]
    assert f"go to {scratch}" in lines[0] and lines[1].startswith(WRITING) and len(lines) == 2


def test_images_that_may_not_be_read_are_tried_twice_at_most(tmp_path, scratch, capsys):
    def make(folder):
        raise PermissionError(13, "Permission denied", "elsewhere")

    with pytest.raises(PermissionError):
        store.kept(tmp_path / "data", "x", make)
    assert listing(scratch) == [] and capsys.readouterr().err.count("cannot write") == 1


def test_a_folder_that_became_read_only_still_serves(made, monkeypatch, capsys):
    monkeypatch.setattr(fcntl, "flock", lambda *_: pytest.fail("the data folder was written to"))
    assert contents(load(made)) == EXPECTED and capsys.readouterr().err == ""


@pytest.mark.parametrize("size", [1_000_000, 5_000_000])
def test_a_disk_that_fills_up_leaves_nothing(tmp_path, scratch, size):
    """Full within the test images, or within the training images."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(UserError, match="cannot write to the data folder .* with room in it") as caught:
            load_splits("mnist_sample", data_dir=tmp_path / "data")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert listing(tmp_path / "data" / "preprocessed" / "mnist_sample") == [".lock"] and listing(scratch) == []


def test_a_data_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for data_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot write to the data folder.*ASSIGNMENT_DATA_DIR"):
            load(data_dir)


KILLED = """
import os, pathlib, signal, sys
from assignment.data import images, load_splits, store

home, name, call = {"Path": pathlib.Path, "images": images, "store": store}[sys.argv[2]], sys.argv[3], int(sys.argv[4])
original, calls = getattr(home, name), []

def wrapped(*arguments, **options):
    calls.append(name)
    if len(calls) == call:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)

setattr(home, name, wrapped)
load_splits("mine", images=sys.argv[5], data_dir=sys.argv[1])
"""
MOMENTS = [
    ("images", "mean_image", 1),
    ("images", "write_npy", 2),
    ("Path", "write_text", 1),
    ("Path", "rename", 1),
    ("Path", "rename", 2),
]


@pytest.mark.parametrize("home, name, call", MOMENTS)
def test_what_a_killed_process_left_is_made_good(made, tmp_path, home, name, call):
    """With damaged images in place, so that they are taken away (the first renaming) before the new ones come."""
    folder = folder_of(made)
    truncate(folder / "train.npy")
    np.savez(tmp_path / "x.npz", **IMAGES)
    command = [sys.executable, "-c", KILLED, made, home, name, str(call), tmp_path / "x.npz"]
    assert subprocess.run(command, capture_output=True).returncode == -9
    assert list(folder.parent.glob(".preparing-*"))
    assert folder.exists() == ((name, call) != ("rename", 2))
    assert contents(load(made)) == EXPECTED
    assert listing(folder.parent) == sorted([".lock", folder.name]) and listing(folder) == FILES


def test_two_processes_at_once_write_once(tmp_path):
    code = (
        "import hashlib, sys; from assignment.data import load_splits;"
        "splits = load_splits('mine', images=sys.argv[2], data_dir=sys.argv[1]);"
        "print([hashlib.sha256(split.images).hexdigest() for split in splits])"
    )
    np.savez(tmp_path / "x.npz", **IMAGES)
    command = [sys.executable, "-c", code, tmp_path, tmp_path / "x.npz"]
    (tmp_path / "preprocessed" / "mine").mkdir(parents=True)
    with open(tmp_path / "preprocessed" / "mine" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Both come to wait, and then go on at once.
        both = [subprocess.Popen(command, stdout=-1, stderr=-1, text=True) for _ in range(2)]
        for process in both:
            assert "another process is preparing data" in process.stderr.readline()
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ""
    assert sum(err.count(WRITING) for _, err in outputs) == 1
    assert contents(load(tmp_path)) == EXPECTED
