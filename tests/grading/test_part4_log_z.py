"""log Z: exact, and as NCE learns it."""

import numpy as np

from grading.grader import errors, problems, reference
from grading.grader.judge import ask, check, own_matrix, require
from grading.grader.rubric import Lost, item
from grading.grader.supervisor import Failure
from grading.grader.trainings import judge_constant
from grading.test_part2_model import EXACT, per_edge


def check_log_partition(submission, diagonal, couplings, height, width):
    size = {"height": height, "width": width}
    matrix = reference.precision_matrix(diagonal, couplings, **size)
    sentence = "log Z is off; it is D/2 log 2π + ½ log det Σ, and Σ = Λ⁻¹."
    try:
        value = ask(submission, "log_partition", (), diagonal=diagonal, couplings=np.array(couplings), **size)
    except Lost as lost:
        hint = " A determinant of hundreds of pixels overflows; use its logarithm." if "NaN" in str(lost) else ""
        raise Lost(f"{lost}{hint}") from lost
    follow = (
        ("precision_matrix", 0.5 * (len(own) * np.log(2 * np.pi) - np.linalg.slogdet(own)[1]))
        for own in own_matrix(submission, diagonal, couplings, **size)
    )
    known = [(said, np.float64(wrong), 0.0) for said, wrong in errors.log_partition(matrix)]
    expected = np.float64(reference.log_partition(matrix))
    check(submission, "log_partition", value, expected, sentence, known, follow, tolerance=EXACT)


@item("log Z", 3, "exact, shared weights, 28 × 28")
def test_exact_shared(submission):
    random = submission.random("log Z")
    check_log_partition(submission, random.uniform(4.3, 4.7), -random.uniform([0.95, 0.7], [1.05, 0.9]), 28, 28)


@item("log Z", 3, "exact, a weight for each pixel and edge")
def test_exact_per_edge(submission):
    check_log_partition(submission, *per_edge(submission), 5, 7)


@item("log Z", 2, "refused where Λ is indefinite")
def test_refused(submission):
    weights = {"couplings": np.array([-0.8, 0.3]), "height": 2, "width": 2}
    ask(submission, "log_partition", (), diagonal=1.5, **weights)  # what refuses everything has refused nothing
    for own in own_matrix(submission, diagonal=1.0, **weights):
        if reference.is_positive_definite(own):
            submission.remark("Your own Λ is positive definite here; it is charged above only.")
            return
    try:
        value = submission.call("log_partition", diagonal=1.0, **weights)
    except Failure as failure:
        if "raised" in str(failure):
            return
        raise Lost(f"log_partition {failure}.") from failure
    refused = value is None or isinstance(value, (float, np.ndarray)) and not np.isfinite(value).any()
    require(
        refused,
        "An indefinite Λ has no log Z: raise an error or return NaN. Determinants may be positive all the same.",
    )


@item("log Z", 3, "learned by NCE on a known lattice")
def test_learned_on_lattice(submission):
    judge_constant(submission, problems.lattice(submission, 4), 0.3, 6)


@item("log Z", 3, "learned by NCE on digits")
def test_learned_on_digits(submission):
    judge_constant(submission, problems.digits(submission), 0.6, 20)
