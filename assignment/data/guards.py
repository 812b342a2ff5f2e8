"""What surrounds calls of tensorflow-datasets: silence, and errors of one line that say what to do."""

import contextlib
import io
import logging
import re

from assignment.data.network import Unavailable
from assignment.errors import UserError


@contextlib.contextmanager
def quiet():
    """Keeps to itself what tensorflow-datasets prints and logs; errors reach the user as exceptions."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def preparing():
    """Tells a data folder that cannot be written to (OSError, as it is) from a source that fails (Unavailable)."""
    try:
        yield
    except Exception as error:  # whatever a download or a data set's own code may raise
        if isinstance(error, OSError) and error.errno:
            raise
        raise Unavailable(reason(error)) from error


@contextlib.contextmanager
def reading(folder):
    """Turns what TensorFlow and tensorflow-datasets raise at damaged files into a UserError."""
    import tensorflow as tf
    from google.protobuf import json_format

    try:
        yield
    except (tf.errors.OpError, json_format.Error, OSError, LookupError, ValueError, TypeError) as error:
        raise damaged(folder, reason(error)) from error


def damaged(folder, fault):
    """The UserError for prepared data that cannot be used."""
    return UserError(f"the prepared data in {folder} is damaged ({fault}); delete that folder and run again")


def reason(error):
    """The first line of an error, without TensorFlow's names of graph nodes."""
    lines = re.sub(r"\{\{.*?\}\} *|\[Op:.*", "", str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200].strip()}" if lines else type(error).__name__
