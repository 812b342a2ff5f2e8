"""The state of a long fit on disk: one that was killed goes on where it stood, bit for bit."""

import json
import shutil
import time

import tensorflow as tf

from assignment.errors import UserError

EVERY = 10.0  # seconds between two checkpoints


class Checkpoint:
    """What a fit keeps of itself in a folder, by `tf.train.CheckpointManager`: its variables, and a memory of its own.

    Args:
      folder: where; None keeps nothing, and nothing is found.
      every: seconds between two checkpoints. How often does not change a fit.
    """

    def __init__(self, folder=None, every=EVERY):
        self.folder = folder
        self.every = every
        self._memory = self._manager = None
        self._began = self._kept = time.monotonic()
        self._before = 0.0

    @property
    def seconds(self):
        """How long the fit has taken so far, with the time before it was interrupted."""
        return self._before + time.monotonic() - self._began

    def restore(self, variables):
        """Gives the variables their last kept values and returns the memory kept with them; {} where there is none."""
        if self.folder is None:
            return {}
        start = [tf.identity(variable) for variable in variables]
        try:
            self._open(variables).restore_or_initialize()
        except (tf.errors.OpError, ValueError, KeyError):  # Damaged: what is left of it is worth nothing.
            for variable, value in zip(variables, start, strict=True):
                variable.assign(value)
            shutil.rmtree(self.folder)
            self._open(variables)
        self._before = self._memory.content.pop("seconds", 0.0)
        return self._memory.content

    def _open(self, variables):
        self._memory = _Memory()
        checkpoint = tf.train.Checkpoint(variables=list(variables), memory=self._memory)
        self._manager = tf.train.CheckpointManager(checkpoint, self.folder, max_to_keep=1)
        return self._manager

    def keep(self, memory, now=False):
        """Keeps the variables with `memory()`, a dict for JSON, if it is time to, or `now`."""
        if self._manager and (now or time.monotonic() - self._kept > self.every):
            self._memory.content = memory() | {"seconds": self.seconds}
            try:
                self._manager.save()
            except tf.errors.OpError as error:
                words = error.message.partition("; ")[0]
                raise UserError(f"cannot write a checkpoint ({words}); make room, or name another folder") from error
            self._kept = time.monotonic()


class _Memory(tf.train.experimental.PythonState):
    def __init__(self):
        self.content = {}

    def serialize(self):
        return json.dumps(self.content, default=lambda array: array.tolist())

    def deserialize(self, string_value):
        self.content = json.loads(string_value)
