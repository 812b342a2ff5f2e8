"""From what a submission returned to arrays that may be judged, and from there to points and sentences.

One error is paid once. What is right for the submission's own Λ, own xᵀΛx or own loss, where those were charged, is not
charged again ("follow-on"), nor is an error that was recognised in an earlier item.
"""

import math
from contextlib import suppress

import numpy as np

from grading.grader import reference
from grading.grader.rubric import Lost
from grading.grader.supervisor import Failure
from grading.grader.wire import Bad

CLOSE = 1e-4


def call(submission, name, **arguments):
    """The value of a call; Lost if there is none."""
    try:
        return submission.call(name, **arguments)
    except Failure as failure:
        submission.failed.setdefault(name, submission.title)
        raise Lost(f"{name} {failure}.") from failure


def ask(submission, name, shape, if_nan="", **arguments):
    """Calls an adapter function for one float64 array of `shape`; Lost if there is none, with a hint if it is NaN."""
    try:
        return as_array(name, call(submission, name, **arguments), shape, if_nan=if_nan)
    except Lost:
        submission.failed.setdefault(name, submission.title)
        raise


def ask_for_several(submission, name, parts, **arguments):
    """Calls an adapter function that returns several arrays: a list of arrays, with a Lost where there is none.

    `parts` is {what a value is: the shapes that it may have}.
    """
    value, needed = call(submission, name, **arguments), len(parts)
    sizes = [math.prod(shapes[0]) for shapes in parts.values()]
    if isinstance(value, np.ndarray) and value.shape == (sum(sizes),):  # joined to one
        value = np.split(value, np.cumsum(sizes)[:-1])
    several = isinstance(value, (list, np.ndarray)) and len(value) > 0
    require(several, f"{name} must return {needed} values: {', '.join(parts)}.")
    found = []
    for number, (what, shapes) in enumerate(parts.items()):
        try:
            missing = f"{name} returned no {what}: {len(value)} values, where {needed} are needed."
            require(number < len(value), missing)
            found.append(as_array(f"{name}, for its {what},", value[number], *shapes))
        except Lost as lost:
            found.append(lost)
    return found


def there(part):
    """One of the parts of `ask_for_several`; what is not there is Lost."""
    if isinstance(part, Lost):
        raise Lost(*part.args)
    return part


def as_array(name, value, *shapes, if_nan=""):
    """`value` as a finite float64 array of one of `shapes`; else Lost. Axes of length 1 may be more or fewer."""
    require(value is not None, f"{name} returned None; is something missing at its `return`?")
    if isinstance(value, Bad):
        raise Lost(f"{name} {value}.")
    try:
        array = value if isinstance(value, np.ndarray) else np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise Lost(f"{name} returned a {type(value).__name__} where an array of numbers is needed.") from None
    without_ones = [n for n in array.shape if n != 1]
    for shape in shapes:
        flat = (*shape[:1], math.prod(shape[1:])) if len(shape) == 3 else (math.prod(shape),)
        if without_ones == [n for n in shape if n != 1] or array.shape == flat:
            array = array.reshape(shape)
            break
    needed = " or ".join(map(str, shapes))
    require(array.shape in shapes, f"{name} returned an array of shape {array.shape}; {needed} is needed.")
    array = array.astype(np.float64)  # now that it is not too large
    require(np.isfinite(array).all(), f"{name} returned NaN or infinite numbers. {if_nan}".rstrip())
    return array


def distance(value, expected):
    """The largest difference, relative to the largest number expected."""
    return np.abs(value - expected).max() / max(np.abs(expected).max(), 1e-300)


def require(right, sentence, share=0.0):
    if not right:
        raise Lost(sentence, share)


def closeness(gap, full, none):
    """The share of the points for a gap: 1 up to `full`, 0 from `none`, and between them by its logarithm."""
    if not math.isfinite(gap) or gap >= none:
        return 0.0
    return 1.0 if gap <= full else math.log(none / gap) / math.log(none / full)


def check(submission, function, value, expected, sentence, errors=(), follow=(), tolerance=CLOSE):
    """Passes what is expected, or follows from what was charged elsewhere; else says which error it is, if it knows.

    Args:
      sentence: for an error that is not known.
      errors: (sentence, wrong value) of each known error, and the share that it earns all the same, if any.
      follow: (charged function, value) of each value that would follow from it.
    """
    if distance(value, expected) < tolerance:
        return
    for source, alternative in follow:
        if distance(value, alternative) < tolerance:
            submission.remark(f"Right for your own {source}, which is charged in “{submission.failed[source]}” only.")
            return
    where = np.unravel_index(np.abs(value - expected).argmax(), np.shape(expected))
    at = f" at {tuple(map(int, where))}" if where else ""
    lost = Lost(f"{sentence} You returned {value[where]:.6g}{at}; {expected[where]:.6g} is right.")
    for said, wrong, *share in errors:
        if np.shape(wrong) == np.shape(value) and distance(value, wrong) < tolerance:
            item = submission.charged.setdefault((function, said), submission.title)
            if item != submission.title:
                submission.remark(f"Not charged again, as in “{item}”: {said}")
                return
            lost = Lost(said, *share)
            break
    submission.failed.setdefault(function, submission.title)
    raise lost


def own_matrix(submission, lattice):
    """The submission's own Λ, where that was charged and is a matrix: one or none."""
    if "precision_matrix" in submission.failed:
        with suppress(Lost):
            yield ask(submission, "precision_matrix", (lattice["height"] * lattice["width"],) * 2, **lattice)


def from_own_matrix(submission, lattice, compute):
    """(charged function, `compute` of the submission's own Λ), as `follow` of `check`."""
    return (("precision_matrix", compute(matrix)) for matrix in own_matrix(submission, lattice))


def from_own_forms(submission, lattice, compute, *sets_of_images):
    """(charged function, `compute` of [xᵀΛx of each set]) by the submission's own Λ, and by its own quadratic form."""
    for matrix in own_matrix(submission, lattice):
        yield "precision_matrix", compute([reference.quadratic_form(matrix, images) for images in sets_of_images])
    if "quadratic_form" in submission.failed:
        weights = {name: lattice[name] for name in ("diagonal", "couplings")}
        with suppress(Lost):
            forms = [ask(submission, "quadratic_form", x.shape[:1], **weights, images=x) for x in sets_of_images]
            yield "quadratic_form", compute(forms)
