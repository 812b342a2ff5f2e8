"""From what a submission returned to arrays that may be judged, or to a sentence about what is wrong with it."""

import math

import numpy as np

from grading.grader.rubric import Lost
from grading.grader.supervisor import Failure


def ask(submission, name, shapes, **arguments):
    """Calls an adapter function and checks the form of its answer.

    Args:
      shapes: the shape expected, or a list of shapes where several arrays are.

    Returns:
      A float64 array, or a list of them.

    Raises:
      Lost: there is no answer, or not one of numbers of this shape.
    """
    try:
        value = submission.call(name, **arguments)
    except Failure as failure:
        raise Lost(f"{name} {failure}.") from failure
    if isinstance(shapes, tuple):
        return as_array(name, value, shapes)
    if not isinstance(value, list) or len(value) != len(shapes):
        raise Lost(f"{name} must return {len(shapes)} values, in the order that its docstring in adapters.py gives.")
    return [as_array(name, part, shape) for part, shape in zip(value, shapes, strict=True)]


def as_array(name, value, shape=None):
    """`value` as a finite float64 array of `shape`; Lost if it is not one. None as a shape stands for any."""
    try:
        array = np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise Lost(f"{name} returned a {type(value).__name__} where an array of numbers is needed.") from None
    if shape == () and array.size == 1:
        array = array.reshape(())
    if shape is not None and array.shape != shape:
        raise Lost(f"{name} returned an array of shape {array.shape}; {shape} is needed.")
    if not np.isfinite(array).all():
        raise Lost(f"{name} returned NaN or infinite numbers.")
    return array


def distance(value, expected):
    """The largest difference, relative to the largest number expected."""
    return np.abs(value - expected).max() / np.abs(expected).max()


def require(right, sentence, share=0.0):
    if not right:
        raise Lost(sentence, share)


def closeness(gap, full, none):
    """The share of the points for a gap: 1 up to `full`, 0 from `none`, and between them by its logarithm."""
    if not math.isfinite(gap) or gap >= none:
        return 0.0
    return 1.0 if gap <= full else math.log(none / gap) / math.log(none / full)


def require_close(gap, full, none, sentence):
    """Proportional credit; `sentence` may use {gap} and {full}."""
    share = closeness(gap, full, none)
    require(share == 1, sentence.format(gap=f"{gap:.3g}", full=f"{full:g}"), share)
