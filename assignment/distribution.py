"""More than one replica: the GPUs of a machine, or the machines that TF_CONFIG names.

Each replica works on its share of every minibatch; the gradients are summed and every process makes the same step.
What a minibatch draws at random it draws in PIECES, each from a seed of its own, so that a fit is the same, but for
rounding, however many replicas there are.
"""

import json
import os
import socket
import time
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from assignment.errors import UserError

PIECES = 4  # of a minibatch: the most replicas there can be
PATIENCE = 60.0  # seconds in which all workers must have come
STRATEGIES = ("none", "mirrored", "multiworker")


def make_strategy(name, patience=PATIENCE):
    """The `tf.distribute.Strategy` of a name; None for "none".

    "mirrored" takes all GPUs of this machine, "multiworker" is one of the worker processes that the environment
    variable TF_CONFIG names, which must come into being before TensorFlow is used for anything else.

    Raises:
      UserError: TF_CONFIG is missing or wrong, another worker has not come within `patience` seconds, or a minibatch
        has no even number of pieces for each replica.
    """
    if name == "none":
        return None
    if name == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
    else:
        _meet(*_workers(), patience)
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    if PIECES % strategy.num_replicas_in_sync:
        raise UserError(f"a minibatch can be shared by 1, 2 or 4 replicas, not {strategy.num_replicas_in_sync}")
    return strategy


def is_chief(strategy):
    """Whether this process is the one that writes the results."""
    return strategy is None or getattr(strategy.cluster_resolver, "task_id", None) in (None, 0)


@contextmanager
def lost_workers():
    """Turns what TensorFlow raises where another worker died into a UserError."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise UserError("another worker died or left before the fit was done; start all workers again") from error


def shareable(batch_size):
    """A batch size of at least one image, rounded down to a multiple of PIECES where that is possible."""
    return max(1, batch_size - batch_size % PIECES if batch_size >= PIECES else batch_size)


def replicas():
    """How many replicas share a minibatch."""
    return tf.distribute.get_replica_context().num_replicas_in_sync


def share(x):
    """This replica's share of what is one for each image [B, ...], or for each piece [PIECES, ...].

    ValueError where there are several replicas and B is not a multiple of PIECES.
    """
    if replicas() == 1:
        return x
    if x.shape[0] % PIECES:
        raise ValueError(f"a minibatch of {x.shape[0]} images cannot be shared: it must be a multiple of {PIECES}")
    size, replica = x.shape[0] // replicas(), tf.distribute.get_replica_context().replica_id_in_sync_group
    return x[replica * size : (replica + 1) * size]


def piece_bounds(images):
    """Where the pieces of a minibatch of so many images begin and end, [PIECES + 1]."""
    return images * np.arange(PIECES + 1) // PIECES


def draw_pieces(sample, counts, seed):
    """This replica's share of a minibatch's draws, [n, ...].

    Args:
      sample: sample(count, seed=pair) gives the draws of a piece; counts: of every piece, [PIECES]; seed: a pair.
    """
    own_counts, own_seeds = (
        tf.unstack(share(t)) for t in (tf.convert_to_tensor(counts), tf.random.split(seed, PIECES))
    )
    return tf.concat([sample(n, seed=s) for n, s in zip(own_counts, own_seeds, strict=True)], axis=0)


def _workers():
    try:
        config = json.loads(os.environ["TF_CONFIG"])
        workers, index = config["cluster"]["worker"], config["task"]["index"]
        if config["task"]["type"] == "worker" and 0 <= index < len(workers):
            return workers, index
    except (KeyError, TypeError, ValueError):
        pass
    raise UserError(
        "--strategy multiworker needs the environment variable TF_CONFIG, such as "
        '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
    )


def _meet(workers, index, patience):
    """Waits until every worker answers at its address, as TensorFlow would, but in a way that ends."""
    deadline = time.monotonic() + patience
    missing = [worker for k, worker in enumerate(workers) if k != index]
    with _doorbell(workers[index]):
        while missing:
            missing = [worker for worker in missing if not _answers(worker)]
            if missing and time.monotonic() > deadline:
                raise UserError(
                    f"no answer from the workers {', '.join(missing)} of TF_CONFIG within {patience:g} s; "
                    "start them all, and see that their ports are open"
                )
            time.sleep(0.1)


def _doorbell(address):
    """Listens at this worker's own address until its server does."""
    port = int(address.rpartition(":")[2])
    try:
        return socket.create_server(("", port))
    except OSError as error:
        raise UserError(f"cannot listen at {address} of TF_CONFIG ({error.strerror}); choose another port") from error


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
