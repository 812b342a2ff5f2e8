"""Fits shared by several replicas: each works on its share, and a clear end comes where a worker is missing."""

import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from distributed_fits import ALL, fits

from assignment.errors import UserError
from assignment.training import replicas
from assignment.training.loop import train
from assignment.training.replicas import is_chief, make_strategy
from assignment.training.step import Step

TESTS = Path(__file__).parent
ADDRESSES = ["localhost:1", "localhost:2"]


def cluster(index, addresses):
    return {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}


def free_addresses(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


def two_shares(gradient, x, seed):
    """What two replicas make of a minibatch: the mean over two halves, each with the seed that its number folds."""
    size = x.shape[0] // 2
    shares = [
        gradient(x[k * size : (k + 1) * size], tf.random.experimental.stateless_fold_in(seed, k)) for k in range(2)
    ]
    return (shares[0] + shares[1]) / 2


@pytest.mark.slow
def test_replicas_average_their_shares_and_the_death_of_a_worker_is_noticed(tmp_path, monkeypatch):
    """Two replicas in one process, and two workers, against one process that averages two shares."""
    command = [sys.executable, TESTS / "distributed_fits.py", tmp_path, *free_addresses(2)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    said = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=300).stderr
    complaint = tmp_path / "complaint"
    assert complaint.is_file(), said[-2000:]
    assert complaint.read_text() == "another worker died or left before the fit was done; start all workers again"
    mirrored, first, second = (json.loads((tmp_path / name).read_text()) for name in ("mirrored", "0", "1"))
    assert first == second and set(first) == {"telescoped", "score"} and set(mirrored) == set(ALL)
    gradient = Step._gradient
    monkeypatch.setattr(Step, "_gradient", lambda self, x, seed: two_shares(partial(gradient, self), x, seed))
    averaged = fits(None)
    for name, values in [*mirrored.items(), *first.items()]:
        np.testing.assert_allclose(values, averaged[name], rtol=2e-4, atol=2e-4, err_msg=name)


def test_a_worker_that_never_comes_is_not_waited_for_for_ever(monkeypatch):
    addresses = free_addresses(2)
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster(0, addresses)))
    monkeypatch.setattr(replicas, "PATIENCE", 0.5)
    with pytest.raises(UserError, match=f"no answer from the workers {addresses[1]} of TF_CONFIG within 0.5 s"):
        make_strategy("multiworker")


def test_a_port_that_is_taken_is_said_to_be(monkeypatch):
    with socket.create_server(("localhost", 0)) as taken:
        address = f"localhost:{taken.getsockname()[1]}"
        monkeypatch.setenv("TF_CONFIG", json.dumps(cluster(0, [address, *free_addresses(1)])))
        with pytest.raises(UserError, match=f"cannot listen at {address}"):
            make_strategy("multiworker")


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


def test_every_replica_needs_an_image():
    step = SimpleNamespace(strategy=SimpleNamespace(num_replicas_in_sync=3))
    with pytest.raises(ValueError, match="batch_size must be at least the number of replicas, 3, not 2"):
        train(step, None, None, steps=1, batch_size=2, seed=0)
