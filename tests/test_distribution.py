"""Fits shared by several replicas: the same result as by one, and a clear end where a worker is missing."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from distributed_fits import fits

from assignment.distribution import PIECES, draw_pieces, is_chief, make_strategy, piece_bounds, share, shareable
from assignment.errors import UserError

TESTS = Path(__file__).parent
ADDRESSES = ["localhost:1", "localhost:2"]


def start(*arguments, config=None):
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent), "TF_CONFIG": json.dumps(config or {})}
    command = [sys.executable, TESTS / "distributed_fits.py", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def cluster(index, addresses):
    return {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}


def free_addresses(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


def assert_same(found, expected):
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-4, atol=2e-4, err_msg=name)


@pytest.fixture(scope="module")
def alone():
    return fits(None)


@pytest.mark.slow
def test_two_workers_give_the_result_of_one_process_and_the_death_of_one_is_noticed(alone):
    addresses = free_addresses(2)
    workers = [start("multiworker", config=cluster(index, addresses)) for index in (0, 1)]
    (first, errors), (second, _) = (worker.communicate(timeout=120) for worker in workers)
    result, *words = first.splitlines()
    assert words == ["another worker died or left before the fit was done; start all workers again"], errors[-2000:]
    assert json.loads(result) == json.loads(second)
    assert_same(json.loads(result), alone)


@pytest.mark.slow
def test_two_replicas_in_one_process_give_the_result_of_one(alone):
    output, errors = start("mirrored").communicate(timeout=120)
    assert output, errors[-2000:]
    assert_same(json.loads(output), alone)


def test_a_worker_that_never_comes_is_not_waited_for_for_ever(monkeypatch):
    addresses = free_addresses(2)
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster(0, addresses)))
    with pytest.raises(UserError, match=f"no answer from the workers {addresses[1]} of TF_CONFIG within 0.5 s"):
        make_strategy("multiworker", patience=0.5)


def test_a_port_that_is_taken_is_said_to_be(monkeypatch):
    with socket.create_server(("localhost", 0)) as taken:
        address = f"localhost:{taken.getsockname()[1]}"
        monkeypatch.setenv("TF_CONFIG", json.dumps(cluster(0, [address, *free_addresses(1)])))
        with pytest.raises(UserError, match=f"cannot listen at {address}"):
            make_strategy("multiworker", patience=0.5)


@pytest.mark.parametrize(
    "config",
    [
        None,
        "not json",
        "[]",
        "{}",
        json.dumps({"cluster": {"worker": ADDRESSES}}),
        json.dumps(cluster(2, ADDRESSES)),
        json.dumps(cluster("0", ADDRESSES)),
        json.dumps({"cluster": {"worker": ADDRESSES}, "task": {"type": "evaluator", "index": 0}}),
    ],
)
def test_a_wrong_cluster_is_said_to_be_wrong(monkeypatch, config):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match="needs the environment variable TF_CONFIG, such as"):
        make_strategy("multiworker")


def test_without_a_strategy_this_process_is_the_chief():
    assert make_strategy("none") is None and is_chief(None)


def test_a_share_is_the_whole_where_there_is_one_replica():
    x = tf.range(5)
    assert share(x) is x


@pytest.mark.parametrize("size", [1, 3, 4, 10])
def test_pieces_cover_a_minibatch_and_have_seeds_of_their_own(size):
    seeds = []

    def sample(count, seed):
        seeds.append(tuple(seed.numpy()))
        return tf.fill([count], len(seeds))

    counts = np.diff(piece_bounds(size))
    drawn = draw_pieces(sample, counts, tf.constant([0, 1]))
    assert counts.sum() == size and counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(drawn, np.repeat(np.arange(1, PIECES + 1), counts))
    assert len(set(seeds)) == PIECES


def test_batch_sizes_that_can_be_shared():
    assert [shareable(n) for n in (0, 1, 3, 4, 7, 512)] == [1, 1, 3, 4, 4, 512]
