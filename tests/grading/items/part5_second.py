"""The second estimator: conditional NCE or score matching, whichever the submission names."""

from grading.grader import errors, problems, reference
from grading.grader.judge import ask, call, check, from_own_forms, from_own_matrix, require
from grading.grader.rubric import item
from grading.grader.submission import once
from grading.grader.trainings import fit, judge_fit
from grading.items.part2_model import per_edge, shared
from grading.items.part3_nce import SOFTPLUS

CHOICES = ("conditional_nce", "score_matching")


@once
def choice(submission):
    name = call(submission, "second_estimator")
    right = isinstance(name, str) and name in CHOICES
    require(right, f"second_estimator must return {' or '.join(map(repr, CHOICES))}.")
    return name


def check_loss(submission, lattice, spread=1.0):
    name, random = choice(submission), submission.random(f"second {lattice['height']}")
    images, other = spread * random.normal(size=(2, 30, lattice["height"], lattice["width"]))
    # With a large spread they are unrelated: energies differ by hundreds of nats, in either direction.
    perturbed = other if spread > 1 else images + 0.3 * other
    weights = {"diagonal": lattice["diagonal"], "couplings": lattice["couplings"]}
    value = ask(submission, "second_loss", (), SOFTPLUS, **weights, images=images, perturbed=perturbed)
    matrix = reference.precision_matrix(**lattice)
    if name == "conditional_nce":
        loss, pair = reference.conditional_nce_loss, [reference.quadratic_form(matrix, x) for x in (images, perturbed)]
        expected, known = loss(*pair), errors.conditional_nce(*pair)
        follow = from_own_forms(submission, lattice, lambda own: loss(*own), images, perturbed)
        sentence = "The loss is off; it is the mean of log(1 + exp(f(x') − f(x))) with f = −½xᵀΛx, log 2 for a flat f."
    else:
        expected, known = reference.score_matching_loss(matrix, images), errors.score_matching(matrix, images)
        follow = from_own_matrix(submission, lattice, lambda own: reference.score_matching_loss(own, images))
        sentence = "The loss is off; it is the mean of ½‖Λx‖², minus the trace of Λ."
    check(submission, "second_loss", value, expected, sentence, known, follow)


@item("second estimator", 4, "its loss, shared weights")
def loss_shared(submission):
    check_loss(submission, shared(submission, height=4, width=5))


@item("second estimator", 2, "its loss, a weight for each pixel and edge")
def loss_per_edge(submission):
    check_loss(submission, per_edge(submission))


@item("second estimator", 2, "its loss at 28 × 28, far from a balance")
def loss_large(submission):
    check_loss(submission, shared(submission, height=28, width=28), spread=4.0)


@item("second estimator", 3, "trained on digits: Λ positive definite")
def second_training_positive_definite(submission):
    choice(submission)
    result = fit(submission, "second", problems.digits(submission))
    result.require_positive_definite(
        "The fitted Λ has negative eigenvalues: no density. On these data that is where the plain loss leads; "
        "keep the fit where Λ is positive definite."
    )
    result.require_fitted()


@item("second estimator", 3, "trained on digits: nats from the best")
def second_training_on_digits(submission):
    choice(submission)
    hint = "Look at which directions in the space of images your loss probes."
    judge_fit(submission, fit(submission, "second", problems.digits(submission)), 1.5, hint)
