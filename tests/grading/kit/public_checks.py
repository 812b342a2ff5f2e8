"""A few of the grader's checks, on numbers that are given. Run `pytest` in this folder before you hand in."""

import json
from pathlib import Path

import adapters
import numpy as np
import pytest

CASES = json.loads(Path(__file__).with_name("public_cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_numbers(case):
    arguments = {k: np.array(v) if isinstance(v, list) else v for k, v in case["arguments"].items()}
    got = getattr(adapters, case["function"])(**arguments)
    values = got if len(case["expected"]) > 1 else [got]
    for value, expected in zip(values, case["expected"], strict=True):
        print("got", np.asarray(value), "expected", np.array(expected), sep="\n")
        np.testing.assert_allclose(np.asarray(value, float), expected, rtol=1e-4, atol=1e-6)


def test_preprocess_gives_noisy_images_without_their_mean():
    raw = np.random.default_rng(0).integers(0, 256, (2000, 3, 4)).astype(np.uint8)
    train, test, mean = (np.asarray(a, float) for a in adapters.preprocess(train=raw, test=raw[:500], seed=1))
    assert (train.shape, test.shape, mean.shape) == ((2000, 3, 4), (500, 3, 4), (3, 4))
    noise = train + mean - raw / 255
    print("got noise of mean", noise.mean(), "and variance", noise.var(), "expected 0 and 0.01")
    assert abs(noise.var() - 0.01) < 0.001
    assert np.abs(train.mean(axis=0)).max() < 1e-5


def test_train_comes_near_a_known_lattice():
    given = np.load(Path(__file__).with_name("public_images.npz"), allow_pickle=False)
    answer = adapters.train(estimator="nce", images=given["images"].astype(float), connectivity=4, seed=1)
    diagonal, couplings, constant = (np.asarray(a, float) for a in answer)
    print("got", diagonal.mean(), couplings, constant, "expected about", *given["truth"], given["log_partition"])
    assert abs(diagonal.mean() / given["truth"][0] - 1) < 0.1
    assert abs(constant - given["log_partition"]) < 1
