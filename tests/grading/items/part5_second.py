"""The second estimator: conditional NCE or score matching, whichever the submission names."""

from grading.grader import errors, problems, reference
from grading.grader.judge import ask, call, check, own_forms, own_matrix, require
from grading.grader.rubric import item
from grading.grader.trainings import fit, judge_fit
from grading.items.part2_model import per_edge, shared
from grading.items.part3_nce import SOFTPLUS

CHOICES = ("conditional_nce", "score_matching")


def choice(submission):
    name = submission.once("second estimator", lambda: call(submission, "second_estimator"))
    require(
        isinstance(name, str) and name in CHOICES, f"second_estimator must return {' or '.join(map(repr, CHOICES))}."
    )
    return name


def check_loss(submission, diagonal, couplings, images, perturbed):
    size = dict(zip(("height", "width"), images.shape[1:], strict=True))
    matrix = reference.precision_matrix(diagonal, couplings, **size)
    weights = {"diagonal": diagonal, "couplings": couplings}
    name = choice(submission)
    value = ask(submission, "second_loss", (), SOFTPLUS, **weights, images=images, perturbed=perturbed)
    if name == "conditional_nce":
        pair = [reference.quadratic_form(matrix, x) for x in (images, perturbed)]
        expected, known = reference.conditional_nce_loss(*pair), errors.conditional_nce(*pair)
        own = own_forms(submission, diagonal, couplings, images, perturbed)
        follow = ((source, reference.conditional_nce_loss(*of)) for source, of in own)
        sentence = "The loss is off; it is the mean of log(1 + exp(f(x') − f(x))) with f = −½xᵀΛx, log 2 for a flat f."
    else:
        expected, known = reference.score_matching_loss(matrix, images), errors.score_matching(matrix, images)
        own = own_matrix(submission, diagonal, couplings, **size)
        follow = (("precision_matrix", reference.score_matching_loss(of, images)) for of in own)
        sentence = "The loss is off; it is the mean of ½‖Λx‖², minus the trace of Λ."
    check(submission, "second_loss", value, expected, sentence, [(*error, 0.0) for error in known], follow)


def images_and_perturbed(submission, height, width, spread=1.0):
    random = submission.random(f"second {height}")
    images = spread * random.normal(size=(30, height, width))
    # With a large spread they are unrelated: energies differ by hundreds of nats, in either direction.
    return images, random.normal(size=images.shape) * (spread if spread > 1 else 0.3) + (spread <= 1) * images


@item("second estimator", 4, "its loss, shared weights")
def loss_shared(submission):
    check_loss(submission, *shared(submission), *images_and_perturbed(submission, 4, 5))


@item("second estimator", 2, "its loss, a weight for each pixel and edge")
def loss_per_edge(submission):
    check_loss(submission, *per_edge(submission), *images_and_perturbed(submission, 5, 7))


@item("second estimator", 2, "its loss at 28 × 28, far from a balance")
def loss_large(submission):
    check_loss(submission, *shared(submission), *images_and_perturbed(submission, 28, 28, spread=4.0))


@item("second estimator", 3, "trained on digits: Λ positive definite")
def second_training_positive_definite(submission):
    choice(submission)
    result = fit(submission, "second", problems.digits(submission))
    require(
        result.matrix is not None,
        "The fitted Λ has negative eigenvalues: no density. On these data that is where the plain loss leads; "
        "keep the fit where Λ is positive definite.",
    )
    result.require_fitted()


@item("second estimator", 3, "trained on digits: nats from the best")
def second_training_on_digits(submission):
    choice(submission)
    hint = "Look at which directions in the space of images your loss probes."
    judge_fit(submission, fit(submission, "second", problems.digits(submission)), 1.5, hint)
