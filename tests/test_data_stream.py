"""Streams of images: the same images as in memory, in a random order that is fair and repeatable, in bounded memory."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assignment.data import load_splits, open_splits, shuffle
from assignment.data.shuffle import Shuffle

SIZE = (2, 1)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """(training, test) streams of the sample."""
    return open_splits("mnist_sample", data_dir=tmp_path_factory.mktemp("data"))


def test_streams_hold_the_very_images_of_load_splits(sample):
    for stream, images in zip(sample, load_splits("mnist_sample"), strict=True):
        assert np.concatenate(list(stream.chunks())).tobytes() == images.images.tobytes()
        assert stream.take(7).tobytes() == images.images[:7].tobytes()
        assert stream.mean.tobytes() == images.mean.tobytes()
        for name in ("name", "source", "sha256"):
            assert getattr(stream, name) == getattr(images, name)
        assert (stream.count, *stream.size) == images.images.shape and len(stream) == stream.count
        assert stream.mean.shape == stream.size and stream.mean.dtype == stream.take(1).dtype == np.float32


def test_chunks_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("assignment.data.raw._CHUNK_BYTES", 300 * 28 * 28 * 4 + 1)
    for stream, images in zip(open_splits("mnist_sample", data_dir=tmp_path), load_splits("mnist_sample"), strict=True):
        chunks = list(stream.chunks())
        assert [len(chunk) for chunk in chunks] == [300] * (len(stream) // 300) + [len(stream) % 300]
        assert np.concatenate(chunks).tobytes() == images.images.tobytes()


def test_take_gives_what_there_is(sample):
    test = sample[1]
    assert [len(test.take(n)) for n in (0, 1, 500, 501)] == [0, 1, 500, 500]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda stream: stream.take(-1), ValueError, "n must be at least 0, not -1"),
        (lambda stream: stream.take(2.0), TypeError, "n must be an integer, not 2.0"),
        (lambda stream: stream.minibatches(0, 0), ValueError, "batch_size must be at least 1, not 0"),
        (lambda stream: stream.minibatches("5", 0), TypeError, "batch_size must be an integer, not '5'"),
        (lambda stream: stream.minibatches(5, -1), ValueError, "seed must be at least 0, not -1"),
        (lambda stream: stream.minibatches(5, [0, None]), TypeError, "seed must be an integer, not None"),
        (lambda stream: stream.minibatches(5, 0, skip=-1), ValueError, "skip must be at least 0, not -1"),
        (lambda stream: stream.minibatches(5, 0, skip=True), TypeError, "skip must be an integer, not True"),
    ],
)
def test_bad_arguments_are_refused_by_name(sample, call, error, message):
    with pytest.raises(error, match=message):
        call(sample[0])


# The order of minibatches, on images that hold their own numbers.


def numbered(count):
    """The `read` of `count` images of 2 × 1 pixels, both of which hold the image's number."""

    def read(start, images):
        assert 0 <= start and start + len(images) <= count
        images[:] = np.arange(start, start + len(images))[:, None, None]

    return read


def numbers(count, batch_size, seed, batches, skip=0, block=4, pool=12):
    """The numbers of the images of so many minibatches, [batches, batch_size], with blocks and pools of so many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shuffle, "_BLOCK_BYTES", block * 8)
        patch.setattr(shuffle, "_POOL_BYTES", pool * 8)
        found = Shuffle(numbered(count), count, SIZE, batch_size, seed).minibatches(skip)
        images = np.stack([next(found) for _ in range(batches)])
    assert images.dtype == np.float32 and images.shape == (batches, batch_size, *SIZE)
    np.testing.assert_array_equal(images[..., 0, 0], images[..., 1, 0])
    return images[..., 0, 0].astype(int)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_pass_shows_each_image_once_and_may_begin_anywhere(data):
    count = data.draw(st.integers(1, 60), "count")
    batch_size = data.draw(st.integers(1, count), "batch_size")
    layout = {"block": data.draw(st.integers(1, 9), "block"), "pool": data.draw(st.integers(1, 70), "pool")}
    seed = data.draw(st.integers(0, 2**70) | st.lists(st.integers(0, 9), min_size=1, max_size=3), "seed")
    per_pass = count // batch_size
    found = numbers(count, batch_size, seed, 3 * per_pass, **layout)
    for one_pass in found.reshape(3, -1):
        assert len(set(one_pass)) == per_pass * batch_size
    skip = data.draw(st.integers(0, 3 * per_pass - 1), "skip")
    np.testing.assert_array_equal(numbers(count, batch_size, seed, 3 * per_pass - skip, skip, **layout), found[skip:])


def test_passes_and_seeds_have_orders_of_their_own():
    first, second = numbers(100, 100, 0, 2)
    others = [numbers(100, 100, seed, 1)[0] for seed in (1, [0, 1], 2**40)]
    orders = [first, second, *others]
    for i, a in enumerate(orders):
        for b in orders[:i]:
            assert (a == b).mean() < 0.1


@pytest.mark.parametrize("pool", [12, 1000])
def test_every_image_is_equally_often_left_out_and_first(pool):
    """103 = 4·25 + 3: whatever is read last, in part blocks or small pools, must not always be the same images."""
    passes = 2000
    found = numbers(103, 25, 0, 4 * passes, pool=pool).reshape(passes, -1)
    shown, first = np.bincount(found.ravel(), minlength=103), np.bincount(found[:, 0], minlength=103)
    for counts, share in ((shown, 100 / 103), (first, 1 / 103)):
        assert np.abs(counts - passes * share).max() < 5 * np.sqrt(passes * share * (1 - share))


def test_sorted_images_are_mixed():
    """A minibatch of a sorted set comes from all over it, though it is read in blocks of 20 in pools of an eighth."""
    found = numbers(16000, 400, 0, 40, block=20, pool=2000)
    # A quarter of the set has 100 ± 8.7 of 400 images, and ± 17 because they come from a pool of 100 blocks: ± 19.
    quarters = np.stack([np.bincount(batch // 4000, minlength=4) for batch in found])
    assert quarters.min() > 100 - 4 * 19 and quarters.max() < 100 + 4 * 19
    neighbours = np.abs(np.diff(found, axis=1)) == 1
    assert neighbours.mean() < 0.002


def test_the_order_is_the_same_in_another_process(sample):
    train = sample[0]
    batches = Shuffle(train._read, train.count, train.size, 512, 3).minibatches(2)
    here = hashlib.sha256(b"".join(next(batches).tobytes() for _ in range(4))).hexdigest()
    code = (
        "import hashlib, sys; from assignment.data import open_splits; from assignment.data.shuffle import Shuffle;"
        "train, _ = open_splits('mnist_sample', data_dir=sys.argv[1]);"
        "batches = Shuffle(train._read, train.count, train.size, 512, 3).minibatches(2);"
        "print(hashlib.sha256(b''.join(next(batches).tobytes() for _ in range(4))).hexdigest())"
    )
    data_dir = train._path.parents[3]
    done = subprocess.run([sys.executable, "-c", code, data_dir], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here


# As tf.data.


def test_minibatches_are_a_data_set_of_static_shape_that_may_begin_anywhere(sample):
    train = sample[0]
    dataset = train.minibatches(300, 5)
    assert dataset.element_spec.shape == (300, 28, 28) and dataset.element_spec.dtype == np.float32
    iterator = iter(dataset)
    first = [next(iterator).numpy() for _ in range(9)]
    for batch, again, skipped in zip(
        first[7:], list(dataset.skip(7).take(2)), iter(train.minibatches(300, 5, skip=7)), strict=False
    ):
        np.testing.assert_array_equal(batch, again)
        np.testing.assert_array_equal(batch, skipped)
    images = {image.tobytes() for image in train.take(2000)}
    shown = [image.tobytes() for batch in first[:6] for image in batch]
    assert len(set(shown)) == 1800 and set(shown) <= images


def test_a_minibatch_has_no_more_than_all_images(sample):
    test = sample[1]
    batch = next(iter(test.minibatches(1024, 0))).numpy()
    assert batch.shape == (500, 28, 28)
    assert sorted(image.tobytes() for image in batch) == sorted(image.tobytes() for image in test.take(500))


MEMORY = """
import dataclasses, hashlib, pathlib, resource, sys
import numpy as np
import tensorflow as tf
from assignment.data import preprocessed
from assignment.data.raw import RawImages, chunk_length

tf.config.experimental.enable_op_determinism()

def raw(count, data_dir):
    def read(split):
        random = np.random.default_rng(0)
        left = counts[split]
        while left:
            length = min(left, chunk_length((28, 28)))
            yield random.integers(0, 256, [length, 28, 28], dtype=np.uint8)
            left -= length
    counts = {"train": count, "test": 1000}
    return RawImages("made up", counts, (28, 28), "made up", data_dir, pathlib.Path(sys.argv[2]), read)

for count in (6000, 48000):
    data_dir = pathlib.Path(sys.argv[1], str(count))
    train, _ = preprocessed._find_or_make(raw(count, data_dir), {"noise_std": 0.1, "seed": 0})
    total = np.zeros([784, 784])
    for chunk in train.chunks():
        flat = chunk.reshape(len(chunk), -1)
        total += flat.T @ flat
    batches = iter(train.minibatches(1000, 0))
    means = [tf.reduce_mean(next(batches)) for _ in range(200)]
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if count == 6000:
        del batches, train
raise SystemExit("with an iterator at work")
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """Making, statistics and 200 minibatches of 6,000 and of 48,000 images (150 MB): the peak in MB is the same.

    The process also ends while minibatches are read ahead, which must not keep it.
    """
    command = [sys.executable, "-c", MEMORY, str(tmp_path), __file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "with an iterator at work" in done.stderr, done.stderr[-2000:]
    few, many = map(float, done.stdout.split())
    assert many < few + 20
