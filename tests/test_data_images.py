"""Preprocessing against its definition and the numbers it has always given, and minibatches."""

import numpy as np
import pytest
from data_files import sha256, small_images
from hypothesis import given, settings
from hypothesis import strategies as st

from assignment.data import load_images, load_splits, preprocess
from assignment.data.minibatches import chunks, minibatches
from assignment.errors import UserError

GENERATOR = np.random.default_rng(0)
TRAIN = GENERATOR.integers(0, 256, [300, 5, 7], dtype=np.uint8)
TEST = GENERATOR.integers(0, 256, [40, 5, 7], dtype=np.uint8)

# SHA-256 of the training images, the test images and the mean of mnist_sample, one after the other, by (noise_std,
# seed), as they have been since the first version of the preprocessing.
GOLDEN = {
    (0.1, 0): "59bac5daaec55a8c539ed372ccba2be9989c0bf12bf379edd1779b4d7fe161d0",
    (0.1, 3): "0deedee75a2134359c249a41acd5be31964b7e37f0341ce863733a36dce5ea7c",
    (0, 0): "476c81c4e930d134a9723d0e096f9ed73713e04b5f667a0427642f90776b894e",
}
SAMPLE_SHA256 = {
    "train": "0e35271853247f5812b04285149968c8f38bcd60a5a9b6db8b0016e577cf6673",
    "test": "342801d1b5091d4e3756b88522a090ef90476ead92c121b67b829b404c6be282",
}


@pytest.fixture(scope="module", autouse=True)
def data_dir(tmp_path_factory):
    """A data folder for this module, named by the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSIGNMENT_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


def test_without_noise_it_is_scaling_and_centring():
    train, test, mean = preprocess(TRAIN, TEST, noise_std=0)
    expected = (TRAIN / 255).mean(axis=0)
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    np.testing.assert_allclose(train, TRAIN / 255 - expected, atol=1e-6)
    np.testing.assert_allclose(test, TEST / 255 - expected, atol=1e-6)
    assert {train.dtype, test.dtype, mean.dtype} == {np.dtype(np.float32)}
    black_and_white = np.array([[[0, 255]] * 2] * 2, np.uint8)
    assert preprocess(black_and_white, black_and_white, noise_std=0)[2].tolist() == [[0.0, 1.0]] * 2


@pytest.mark.parametrize("noise_std, seed", GOLDEN)
def test_the_numbers_are_those_they_have_always_been(noise_std, seed):
    splits = load_splits("mnist_sample", noise_std, seed)
    arrays = np.concatenate([*(images.images for images in splits), splits[0].mean[None]])
    assert sha256(arrays) == GOLDEN[noise_std, seed]
    for split, images in zip(("train", "test"), splits, strict=True):
        assert images.sha256 == SAMPLE_SHA256[split]
        assert (images.name, images.fallback) == ("mnist_sample", False) and "part of this package" in images.source
        assert images.images.dtype == images.mean.dtype == np.float32 and not images.images.flags.writeable
        alone = load_images("mnist_sample", split, noise_std, seed)
        np.testing.assert_array_equal(alone.images, images.images)
        np.testing.assert_array_equal(alone.mean, images.mean)
        assert (alone.name, alone.source, alone.sha256) == (images.name, images.source, images.sha256)


def test_the_numbers_do_not_depend_on_how_images_are_cut_into_chunks(monkeypatch):
    images = small_images(seed=5, size=(20, 24), counts={"train": 3000, "test": 40})
    train, test = load_splits(images=images, seed=1)
    for chunk_bytes in (2**20, 1, 2**40):
        monkeypatch.setattr("assignment.data.preprocessing._CHUNK_BYTES", chunk_bytes)
        for found, expected in zip(preprocess(**images, seed=1), (train.images, test.images, train.mean), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_the_sample_is_mnist(pytestconfig):
    folder = pytestconfig.rootpath / "assignment" / "data"
    with np.load(folder / "mnist_sample.npz") as arrays:
        train, test = arrays["train"], arrays["test"]
    assert (train.shape, test.shape) == ((2000, 28, 28), (500, 28, 28))
    # MNIST's well-known mean and standard deviation, 0.1307 and 0.3081.
    assert abs(train.mean() / 255 - 0.1307) < 0.003
    assert abs(train.std() / 255 - 0.3081) < 0.003
    assert len(np.unique(np.concatenate([train, test]).reshape(2500, -1), axis=0)) == 2500
    assert (folder / "mnist_sample.npz").stat().st_size < 700_000
    text = (folder / "mnist_sample.txt").read_text()
    for words in ("CC BY-SA 3.0", "Yann LeCun", "Corinna Cortes", "Burges", *SAMPLE_SHA256.values()):
        assert words in text


def test_the_part_data_says_what_is_there(run_here):
    status, printed, _ = run_here("data", "--dataset", "mnist_sample")
    start = "mnist_sample: 2,000 training and 500 test images of 28×28 pixels in "
    assert status == 0 and printed.startswith(start) and printed.count("\n") == 1


def test_bad_arrays_are_refused_by_name():
    for split, other in (("train", "test"), ("test", "train")):
        with pytest.raises(UserError, match=f"{split} holds float64 pixels; 8-bit"):
            preprocess(**{split: TRAIN / 255, other: TRAIN})
    with pytest.raises(UserError, match=r"train has images of shape \(5, 7\), test of \(4, 7\); they must be the same"):
        preprocess(TRAIN, TEST[:, 1:])


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"split": "validation"}, UserError, "split must be 'train' or 'test', not 'validation'"),
        ({"split": None}, UserError, "split"),
        ({"noise_std": -0.1}, UserError, "noise_std .* not -0.1"),
        ({"noise_std": float("nan")}, UserError, "noise_std .* not nan"),
        ({"noise_std": float("inf")}, UserError, "noise_std .* not inf"),
        ({"noise_std": 1e39}, UserError, "noise_std"),
        ({"noise_std": "0.1"}, TypeError, "noise_std must be a number, not '0.1'"),
        ({"seed": -1}, ValueError, "seed .* not -1"),
        ({"seed": 0.5}, TypeError, "seed must be an integer, not 0.5"),
        ({"name": None}, TypeError, "name must be a string, not None"),
        ({"images": "nowhere.npy"}, UserError, "cannot read nowhere.npy: No such file"),
        ({"images": TRAIN, "idx_dir": "."}, UserError, "images or idx_dir, not both"),
        ({"patch": (3, 3)}, UserError, "give images or idx_dir"),
        ({"patches": 7}, UserError, "give images or idx_dir"),
        ({"transpose": True}, UserError, "give images or idx_dir"),
    ],
)
def test_bad_arguments_are_refused_by_name(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        load_images(**{"name": "mnist_sample", "data_dir": tmp_path / "data", **arguments})
    assert "\n" not in str(caught.value) and not (tmp_path / "data").exists()


# Minibatches, of images that hold their own numbers.


def numbered(count):
    return np.repeat(np.arange(count, dtype=np.float32), 2).reshape(count, 2, 1)


def numbers(count, batch_size, seed, batches):
    found = minibatches(numbered(count), batch_size, seed)
    images = np.stack([next(found) for _ in range(batches)])
    assert images.dtype == np.float32 and images.shape == (batches, min(batch_size, count), 2, 1)
    np.testing.assert_array_equal(images[..., 0, 0], images[..., 1, 0])
    return images[..., 0, 0].astype(int)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**31 - 1) | st.lists(st.integers(0, 9), min_size=1))
def test_a_pass_shows_each_image_at_most_once(count, batch_size, seed):
    per_pass = max(1, count // batch_size)
    for one_pass in numbers(count, batch_size, seed, 3 * per_pass).reshape(3, -1):
        assert len(set(one_pass)) == len(one_pass) == per_pass * min(batch_size, count)
    np.testing.assert_array_equal(*(numbers(count, batch_size, seed, 3) for _ in range(2)))


def test_passes_and_seeds_have_orders_of_their_own():
    first, second = numbers(100, 100, 0, 2)
    orders = [first, second, *(numbers(100, 100, seed, 1)[0] for seed in (1, [0, 1], 2**30))]
    for i, a in enumerate(orders):
        for b in orders[:i]:
            assert (a == b).mean() < 0.1


def test_every_image_is_equally_often_left_out_and_first():
    """103 = 4·25 + 3: those that are left out of a pass must not always be the same."""
    passes = 2000
    found = numbers(103, 25, 0, 4 * passes).reshape(passes, -1)
    shown, first = np.bincount(found.ravel(), minlength=103), np.bincount(found[:, 0], minlength=103)
    for counts, share in ((shown, 100 / 103), (first, 1 / 103)):
        assert np.abs(counts - passes * share).max() < 5 * np.sqrt(passes * share * (1 - share))


def test_a_memory_map_gives_the_same_minibatches_and_chunks_as_an_array():
    mapped = load_images("mnist_sample").images
    array = np.array(mapped)
    for _, a, b in zip(range(7), minibatches(mapped, 300, 5), minibatches(array, 300, 5), strict=False):
        np.testing.assert_array_equal(a, b)
        assert type(a) is np.ndarray
    pieces = list(chunks(mapped, 300 * 28 * 28 * 4 + 1))
    assert [len(piece) for piece in pieces] == [300] * 6 + [200]
    np.testing.assert_array_equal(np.concatenate(pieces), array)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((0, 0), ValueError, "batch_size must be at least 1.* not 0"),
        (("5", 0), TypeError, "batch_size must be an integer, not '5'"),
        ((5, -1), ValueError, "seed must be at least 0.* not -1"),
        ((5, [0, None]), TypeError, "seed must be an integer, not None"),
    ],
)
def test_bad_arguments_of_minibatches_are_refused_at_once(arguments, error, message):
    with pytest.raises(error, match=message):
        minibatches(numbered(9), *arguments)


def test_noise_has_the_variance_asked_for_and_no_mean_or_correlation():
    train, test, mean = preprocess(TRAIN, TEST, noise_std=0.1, seed=3)
    for raw, images in ((TRAIN, train), (TEST, test)):
        noise = (images + mean - raw / 255).ravel()
        standard_error = 0.1 / np.sqrt(noise.size)
        assert abs(noise.mean()) < 4 * standard_error
        assert abs(noise.std() - 0.1) < 4 * standard_error / np.sqrt(2)
        assert abs(noise[1:] @ noise[:-1] / noise.size) < 4 * 0.1 * standard_error
    # The mean removed is that of the noisy training split, and the splits have noise of their own.
    np.testing.assert_allclose(train.mean(axis=0, dtype=np.float64), 0, atol=1e-7)
    assert not np.allclose(mean, (TRAIN / 255).mean(axis=0), atol=1e-4)
    train, test, _ = preprocess(TRAIN, TRAIN.copy())
    assert abs((train - test).std() - 0.1 * np.sqrt(2)) < 4 * 0.1 / np.sqrt(train.size)
