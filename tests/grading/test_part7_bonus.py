"""Bonus: the same with 8-connected neighbours."""

import numpy as np
import pytest

from grading.grader import problems
from grading.grader.judge import require_close
from grading.test_part2_model import check_matrix, check_quadratic_form, per_edge
from grading.test_part4_log_z import check_log_partition

SLANTED = (5.1, np.array([-0.9, -0.6, 0.5, -0.2]))


@pytest.mark.item("bonus 8", 2, "Λ assembled, 8-connected")
def test_matrix(submission):
    check_matrix(submission, *SLANTED)
    check_matrix(submission, *per_edge(4))


@pytest.mark.item("bonus 8", 2, "xᵀΛx, 8-connected")
def test_quadratic_form(submission):
    check_quadratic_form(submission, *SLANTED)
    check_quadratic_form(submission, *per_edge(4))


@pytest.mark.item("bonus 8", 2, "log Z, 8-connected")
def test_log_partition(submission):
    check_log_partition(submission, *SLANTED, 12, 9)


@pytest.mark.item("bonus 8", 4, "training on a known 8-connected lattice: nats from the truth")
def test_training(trainings):
    problem = problems.lattice(8)
    fit = trainings("nce", problem)
    fit.require_positive_definite()
    sentence = "The fit is {gap} nats per image from the truth; {full} is near enough."
    require_close(problem.gap(fit.matrix), 0.05, problem.none, sentence)
