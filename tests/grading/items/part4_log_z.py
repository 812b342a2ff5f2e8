"""log Z: exact, and as NCE learns it."""

import numpy as np

from grading.grader import errors, problems, reference
from grading.grader.judge import ask, check, from_own_matrix, own_matrix, require
from grading.grader.rubric import Lost, item
from grading.grader.supervisor import Failure
from grading.grader.trainings import judge_constant
from grading.items.part2_model import EXACT, lattice_of, lattices, per_edge


def check_log_partition(submission, lattice):
    matrix = reference.precision_matrix(**lattice)
    sentence = "log Z is off; it is D/2 log 2π + ½ log det Σ, and Σ = Λ⁻¹."
    if_nan = "A determinant of hundreds of pixels overflows; use its logarithm."
    value = ask(submission, "log_partition", (), if_nan, **lattice)
    follow = from_own_matrix(
        submission, lattice, lambda own: 0.5 * (len(own) * np.log(2 * np.pi) - np.linalg.slogdet(own)[1])
    )
    expected, known = reference.log_partition(matrix), errors.log_partition(matrix)
    check(submission, "log_partition", value, expected, sentence, known, follow, tolerance=EXACT)


@item("log Z", 3, "exact, shared weights, 28 × 28")
def exact_shared(submission):
    random = submission.random("log Z")
    weights = random.uniform(4.3, 4.7), -random.uniform([0.95, 0.7], [1.05, 0.9])
    check_log_partition(submission, lattice_of(*weights, 28, 28))


@item("log Z", 3, "exact, a weight for each pixel and edge")
def exact_per_edge(submission):
    # Weights of its own, so that no Λ that was asked for before says what it is.
    check_log_partition(submission, per_edge(submission, name="edge weights of log Z"))


@item("log Z", 2, "refused where Λ is indefinite")
def refused(submission):
    for lattice, positive_definite, _ in lattices(submission.random("log Z refused")):
        own = own_matrix(submission, lattice)
        if any(reference.is_positive_definite(matrix) != positive_definite for matrix in own):
            submission.remark("Your own Λ differs here in what is positive definite; it is charged above only.")
        elif positive_definite:  # what refuses everything has refused nothing
            ask(submission, "log_partition", (), **lattice)
        else:
            sentence = "An indefinite Λ has no log Z: raise an error or return NaN. Its determinant may be positive."
            require(_refuses(submission, lattice), sentence)


def _refuses(submission, lattice):
    try:
        value = submission.call("log_partition", **lattice)
    except Failure as failure:
        if "raised" in str(failure):
            return True
        raise Lost(f"log_partition {failure}.") from failure
    return value is None or isinstance(value, (float, np.ndarray)) and not np.isfinite(value).any()


@item("log Z", 3, "learned by NCE on a known lattice")
def learned_on_lattice(submission):
    judge_constant(submission, problems.lattice(submission, 4), 0.3, 6)


@item("log Z", 3, "learned by NCE on digits")
def learned_on_digits(submission):
    judge_constant(submission, problems.digits(submission), 0.6, 20)
