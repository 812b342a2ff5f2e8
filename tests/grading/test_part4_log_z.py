"""log Z: exact, and as NCE learns it."""

import numpy as np
import pytest

from grading.grader import problems, reference
from grading.grader.judge import ask, distance, require, require_close
from grading.grader.rubric import Lost
from grading.grader.supervisor import Failure
from grading.test_part2_model import per_edge

CLOSE = 1e-5
SENTENCE = "log Z is off; it is D/2 log 2π + ½ log det Σ, and Σ = Λ⁻¹."


def check_log_partition(submission, diagonal, couplings, height, width):
    size = {"height": height, "width": width}
    expected = reference.log_partition(reference.precision_matrix(diagonal, couplings, **size))
    value = ask(submission, "log_partition", (), diagonal=diagonal, couplings=np.array(couplings), **size)
    require(distance(value, expected) < CLOSE, SENTENCE)


def check_learned(trainings, problem, full, none):
    fit = trainings("nce", problem)
    fit.require_fitted(problem)
    require(np.isfinite(fit.log_partition), "train returned no finite log Z; NCE learns it as a free constant.")
    gap = abs(fit.log_partition - reference.log_partition(fit.matrix))
    require_close(gap, full, none, "The learned log Z is {gap} nats from that of the fitted Λ; {full} is near enough.")


@pytest.mark.item("log Z", 3, "exact, shared weights, 28 × 28")
def test_exact_shared(submission):
    check_log_partition(submission, 4.5, [-1.0, -0.8], 28, 28)


@pytest.mark.item("log Z", 3, "exact, a weight for each pixel and edge")
def test_exact_per_edge(submission):
    check_log_partition(submission, *per_edge(2), 5, 7)


@pytest.mark.item("log Z", 2, "refused where Λ is indefinite")
def test_refused(submission):
    weights = {"couplings": np.array([-0.8, 0.3]), "height": 2, "width": 2}
    ask(submission, "log_partition", (), diagonal=1.5, **weights)  # what refuses everything has refused nothing
    try:
        value = submission.call("log_partition", diagonal=1.0, **weights)
    except Failure as failure:
        if "raised" in str(failure):
            return
        raise Lost(f"log_partition {failure}.") from failure
    require(
        isinstance(value, float) and np.isnan(value) or isinstance(value, np.ndarray) and np.isnan(value).all(),
        "An indefinite Λ has no log Z: raise an error or return NaN. Determinants may be positive all the same.",
    )


@pytest.mark.item("log Z", 3, "learned by NCE on a known lattice")
def test_learned_on_lattice(trainings):
    check_learned(trainings, problems.lattice(4), 0.3, 6)


@pytest.mark.item("log Z", 3, "learned by NCE on digits")
def test_learned_on_digits(trainings):
    check_learned(trainings, problems.digits(), 0.6, 20)
