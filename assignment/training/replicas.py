"""More than one replica: the GPUs of a machine, or the machines that TF_CONFIG names.

Each replica works on its share of every minibatch; the gradients are averaged, and every process makes the same step.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tensorflow as tf

from assignment.errors import UserError

PATIENCE = 60.0  # seconds in which all workers must have come


def make_strategy(name: str) -> tf.distribute.Strategy | None:
    """The `tf.distribute.Strategy` of a name; None for "none".

    "mirrored" takes all GPUs of this machine. "multiworker" is one of the worker processes that the environment
    variable TF_CONFIG names; it must be made before TensorFlow is used for anything else.

    Raises:
      UserError: TF_CONFIG is missing or wrong, or another worker has not come within PATIENCE seconds.
    """
    if name == "none":
        return None
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    _wait_for_others(*_workers())
    return tf.distribute.MultiWorkerMirroredStrategy()


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether this process is the one that writes the results."""
    return strategy is None or getattr(strategy.cluster_resolver, "task_id", None) in (None, 0)


@contextmanager
def lost_workers() -> Iterator[None]:
    """Turns what TensorFlow raises where another worker died into a UserError."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise UserError("another worker died or left before the fit was done; start all workers again") from error


def mean_gradient(
    strategy: tf.distribute.Strategy, gradient: Callable[..., tf.Tensor], x: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """gradient(x, seed) for a minibatch x [B, H, W], shared by the replicas of a strategy.

    Each replica takes its share of the images and draws its noise from a seed of its own; the result is the mean of
    theirs. The images that do not divide by the number of replicas are left out.
    """

    def share(x, seed):
        context = tf.distribute.get_replica_context()
        replica, size = context.replica_id_in_sync_group, x.shape[0] // context.num_replicas_in_sync
        own_seed = tf.random.experimental.stateless_fold_in(seed, replica)
        return gradient(x[replica * size : (replica + 1) * size], own_seed)

    return strategy.reduce("MEAN", strategy.run(share, (x, seed)), axis=None)  # One message between workers.


def check_shares(strategy: tf.distribute.Strategy | None, batch_size: int) -> None:
    """ValueError unless every replica gets an image of each minibatch."""
    count = strategy.num_replicas_in_sync if strategy else 1
    if batch_size < count:
        raise ValueError(f"batch_size must be at least the number of replicas, {count}, not {batch_size}")


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


def _wait_for_others(workers, index):
    """Waits until every worker answers at its address, as TensorFlow would, but in a way that ends."""
    deadline = time.monotonic() + PATIENCE
    missing = [worker for k, worker in enumerate(workers) if k != index]
    with _listen(workers[index]):
        while missing:
            missing = [worker for worker in missing if not _answers(worker)]
            if missing and time.monotonic() > deadline:
                raise UserError(
                    f"no answer from the workers {', '.join(missing)} of TF_CONFIG within {PATIENCE:g} s; "
                    "start them all, and see that their ports are open"
                )
            time.sleep(0.1)


def _listen(address):
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
