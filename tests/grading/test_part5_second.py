"""The second estimator: conditional NCE or score matching, whichever the submission names."""

import numpy as np
import pytest

from grading.grader import problems, reference
from grading.grader.judge import ask, distance, require, require_close
from grading.grader.rubric import Lost
from grading.grader.supervisor import Failure
from grading.test_part2_model import SHARED, per_edge

CLOSE = 1e-4
CHOICES = ("conditional_nce", "score_matching")


@pytest.fixture(scope="module")
def choice(submission):
    def named():
        try:
            name = submission.call("second_estimator")
        except Failure as failure:
            raise Lost(f"second_estimator {failure}.") from failure
        require(name in CHOICES, f"second_estimator must return {' or '.join(map(repr, CHOICES))}.")
        return name

    return named


def check_loss(submission, choice, diagonal, couplings, height, width, images=None, perturbed=None):
    random = np.random.default_rng(8)
    if images is None:
        images = random.normal(size=(30, height, width))
        perturbed = images + 0.3 * random.normal(size=images.shape)
    matrix = reference.precision_matrix(diagonal, couplings, height, width)
    arguments = {"diagonal": diagonal, "couplings": couplings, "images": images, "perturbed": perturbed}
    name = choice()
    value = ask(submission, "second_loss", (), **arguments)
    if name == "conditional_nce":
        expected = reference.conditional_nce_loss(matrix, images, perturbed)
        sentence = "The loss is off; it is the mean of log(1 + exp(f(x') − f(x))) with f = −½xᵀΛx, log 2 for a flat f."
    else:
        expected = reference.score_matching_loss(matrix, images)
        sentence = "The loss is off; it is the mean of ½‖Λx‖², minus the trace of Λ: a sum over pixels, not a mean."
    require(distance(value, expected) < CLOSE, sentence)


@pytest.mark.item("second estimator", 4, "its loss, shared weights")
def test_loss_shared(submission, choice):
    check_loss(submission, choice, *SHARED, 4, 5)


@pytest.mark.item("second estimator", 2, "its loss, a weight for each pixel and edge")
def test_loss_per_edge(submission, choice):
    check_loss(submission, choice, *per_edge(2), 5, 7)


@pytest.mark.item("second estimator", 2, "its loss at 28 × 28, far from a balance")
def test_loss_large(submission, choice):
    # Pairs of unrelated images: energies differ by hundreds of nats, in either direction.
    images, perturbed = 4 * np.random.default_rng(9).normal(size=(2, 30, 28, 28))
    check_loss(submission, choice, *SHARED, 28, 28, images, perturbed)


@pytest.mark.item("second estimator", 3, "trained on digits: Λ positive definite")
def test_training_positive_definite(choice, trainings):
    choice()
    problem = problems.digits()
    fit = trainings("second", problem)
    require(
        fit.positive_definite,
        "The fitted Λ has negative eigenvalues: no density. On these data that is where the plain loss leads; "
        "keep the fit where Λ is positive definite.",
    )
    fit.require_fitted(problem)


@pytest.mark.item("second estimator", 3, "trained on digits: nats from the best")
def test_training_on_digits(choice, trainings):
    choice()
    problem = problems.digits()
    fit = trainings("second", problem)
    fit.require_positive_definite()
    sentence = (
        "The fit is {gap} nats per test image from the best shared weights; {full} is near enough. "
        "Look at which directions in the space of images your loss probes."
    )
    require_close(problem.gap(fit.matrix), 1.0, problem.none, sentence)
