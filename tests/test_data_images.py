"""Preprocessing against its definition, and the sample that comes with the package."""

import subprocess
import sys

import numpy as np
import pytest

from assignment.data import load_images, load_splits, prepare, preprocess
from assignment.data.raw import sha256
from assignment.errors import UserError

GENERATOR = np.random.default_rng(0)
TRAIN = GENERATOR.integers(0, 256, [300, 5, 7], dtype=np.uint8)
TEST = GENERATOR.integers(0, 256, [40, 5, 7], dtype=np.uint8)


def test_without_noise_it_is_scaling_and_centring():
    train, test, mean = preprocess(TRAIN, TEST, noise_std=0)
    expected = (TRAIN / 255).mean(axis=0)
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    np.testing.assert_allclose(train, TRAIN / 255 - expected, atol=1e-6)
    np.testing.assert_allclose(test, TEST / 255 - expected, atol=1e-6)
    assert {train.dtype, test.dtype, mean.dtype} == {np.dtype(np.float32)}


def test_zero_and_full_pixels_are_exactly_zero_and_one():
    black_and_white = np.array([[[0, 255]]] * 2, np.uint8)
    _, _, mean = preprocess(black_and_white, black_and_white, noise_std=0)
    assert mean.tolist() == [[0.0, 1.0]]


def test_noise_has_the_variance_asked_for_and_no_mean_or_correlation():
    train, test, mean = preprocess(TRAIN, TEST, noise_std=0.1, seed=3)
    for raw, images in ((TRAIN, train), (TEST, test)):
        noise = (images + mean - raw / 255).ravel()
        standard_error = 0.1 / np.sqrt(noise.size)
        assert abs(noise.mean()) < 4 * standard_error
        assert abs(noise.std() - 0.1) < 4 * standard_error / np.sqrt(2)
        assert abs(noise[1:] @ noise[:-1] / noise.size) < 4 * 0.1 * standard_error


def test_the_mean_removed_is_that_of_the_noisy_training_split():
    train, _, mean = preprocess(TRAIN, TEST)
    np.testing.assert_allclose(train.mean(axis=0, dtype=np.float64), 0, atol=1e-7)
    assert not np.allclose(mean, (TRAIN / 255).mean(axis=0), atol=1e-4)


def test_splits_have_noise_of_their_own():
    train, test, _ = preprocess(TRAIN, TRAIN.copy())
    difference = train - test
    assert abs(difference.std() - 0.1 * np.sqrt(2)) < 4 * 0.1 / np.sqrt(difference.size)


def test_noise_does_not_depend_on_how_it_is_cut_into_chunks(monkeypatch):
    whole = preprocess(TRAIN, TEST)
    monkeypatch.setattr("assignment.data.raw._CHUNK_BYTES", 1)
    for a, b in zip(whole, preprocess(TRAIN, TEST), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_seed_decides():
    first, again, other = (load_splits("mnist_sample", seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        assert abs((a.images - c.images).std() - 0.1 * np.sqrt(2)) < 1e-3
        assert a.sha256 == c.sha256


def test_load_images_gives_either_split_of_load_splits():
    for split, images in zip(("train", "test"), load_splits("mnist_sample"), strict=True):
        alone = load_images("mnist_sample", split)
        np.testing.assert_array_equal(alone.images, images.images)
        np.testing.assert_array_equal(alone.mean, images.mean)
        assert (alone.name, alone.source, alone.sha256) == (images.name, images.source, images.sha256)


def test_the_sample_is_mnist():
    raw = prepare("mnist_sample")
    assert (raw.train.shape, raw.test.shape) == ((2000, 28, 28), (500, 28, 28))
    assert sha256(raw.train) == "0e35271853247f5812b04285149968c8f38bcd60a5a9b6db8b0016e577cf6673"
    assert sha256(raw.test) == "342801d1b5091d4e3756b88522a090ef90476ead92c121b67b829b404c6be282"
    # MNIST's well-known mean and standard deviation, 0.1307 and 0.3081.
    assert abs(raw.train.mean() / 255 - 0.1307) < 0.003
    assert abs(raw.train.std() / 255 - 0.3081) < 0.003
    both = np.concatenate([raw.train, raw.test]).reshape(2500, -1)
    assert len(np.unique(both, axis=0)) == 2500


def test_the_sample_is_small_and_names_its_licence(pytestconfig):
    folder = pytestconfig.rootpath / "assignment" / "data"
    assert (folder / "mnist_sample.npz").stat().st_size < 700_000
    text = (folder / "mnist_sample.txt").read_text()
    for words in ("CC BY-SA 3.0", "Yann LeCun", "Corinna Cortes", "Burges", sha256(prepare("mnist_sample").train)):
        assert words in text


def _with_nan():
    images = (TRAIN / 255).astype(np.float32)
    images[2, 3, 4] = np.nan
    return images


BAD_ARRAYS = {
    "NaN": (_with_nan(), "NaN or infinite"),
    "infinite": (np.where(np.isnan(_with_nan()), np.inf, 0), "NaN or infinite"),
    "float": (TRAIN / 255, "float64 pixels"),
    "wider integers": (TRAIN.astype(np.int32), "int32 pixels"),
    "Boolean": (TRAIN > 3, "bool pixels"),
    "one image": (TRAIN[0], r"shape \(5, 7\)"),
    "with channels": (TRAIN[..., None], "single-channel"),
    "empty": (TRAIN[:0], "is empty"),
    "no pixels": (TRAIN[:, :0], "is empty"),
    "a list": (TRAIN.tolist(), "is a list"),
}


@pytest.mark.parametrize("images, message", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_bad_arrays_are_refused_by_name(split, images, message):
    with pytest.raises(UserError, match=f"(?s){split}.*{message}"):
        preprocess(**{"train": TRAIN, "test": TEST, split: images})


def test_splits_of_different_sizes_are_refused():
    with pytest.raises(UserError, match=r"\(5, 7\).*\(7, 5\)"):
        preprocess(TRAIN, TEST.transpose(0, 2, 1))


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
        ({"seed": -1}, UserError, "seed .* not -1"),
        ({"seed": 0.5}, TypeError, "seed must be an integer, not 0.5"),
        ({"name": None}, TypeError, "name must be a string, not None"),
        ({"idx_dir": "somewhere"}, UserError, "comes with this package"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        load_images(**{"name": "mnist_sample", **arguments})


def test_importing_and_loading_the_sample_need_no_tensorflow():
    code = (
        "import sys, assignment.data as data; data.load_images('mnist_sample');"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
