"""Bonus: the same with 8-connected neighbours."""

from grading.grader import problems
from grading.grader.rubric import item
from grading.grader.trainings import fit, judge_fit
from grading.items.part2_model import check_matrix, check_quadratic_form, per_edge, shared
from grading.items.part4_log_z import check_log_partition


@item("bonus 8", 2, "Λ assembled, 8-connected")
def matrix(submission):
    check_matrix(submission, shared(submission, 4))
    check_matrix(submission, per_edge(submission, 4))


@item("bonus 8", 2, "xᵀΛx, 8-connected")
def quadratic_form(submission):
    check_quadratic_form(submission, shared(submission, 4))
    check_quadratic_form(submission, per_edge(submission, 4))


@item("bonus 8", 2, "log Z, 8-connected")
def log_partition(submission):
    check_log_partition(submission, shared(submission, 4, 12, 9))


@item("bonus 8", 4, "training on a known 8-connected lattice: nats from the truth")
def training(submission):
    judge_fit(submission, fit(submission, "nce", problems.lattice(submission, 8)), 0.05)
