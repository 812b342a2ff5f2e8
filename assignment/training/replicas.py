"""More than one replica: the GPUs of a machine, or the machines that TF_CONFIG names.

Each replica works on its share of every minibatch; the gradients are averaged, and every process makes the same step,
see `Step`.
"""

import json
import os
import socket
import time

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
