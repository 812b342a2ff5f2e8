"""NCE: the noise's density, the loss −J, its gradient, and what training reaches."""

import math

import numpy as np
import pytest

from grading.grader import problems, reference
from grading.grader.judge import ask, distance, require, require_close

HEIGHT, WIDTH = 4, 5
WEIGHTS = {"diagonal": 4.2, "couplings": np.array([-1.1, -0.7])}
CLOSE = 1e-4
ENOUGH_NATS = {"lattice": 0.05, "digits": 0.5}


def situation(nu, height=HEIGHT, width=WIDTH, spread=1.0, log_partition=7.0):
    """(arguments of nce_loss, G on data, G on noise) for images that the model likes about as well as the noise does.

    With `spread` far from 1 the log-ratios are hundreds of nats.
    """
    random = np.random.default_rng(round(10 * nu))
    matrix = reference.precision_matrix(**WEIGHTS, height=height, width=width)
    variance = random.uniform(0.2, 0.4, (height, width))
    data = spread * reference.draw(matrix, 30, (height, width), random)
    noise = spread * random.normal(size=(40, height, width)) * np.sqrt(variance)
    arguments = WEIGHTS | {"log_partition": log_partition, "data": data, "noise": noise, "noise_ratio": nu}
    ratios = []
    for name, images in (("data", data), ("noise", noise)):
        arguments[f"{name}_log_noise"] = reference.noise_log_density(images, variance)
        ratios.append(reference.log_ratios(matrix, log_partition, images, arguments[f"{name}_log_noise"]))
    return arguments, *ratios


def check_loss(submission, nu, sentence, **changes):
    arguments, data_ratio, noise_ratio = situation(nu, **changes)
    value = ask(submission, "nce_loss", (), **arguments)
    expected = reference.nce_loss(data_ratio, noise_ratio, nu)
    if nu == 1:
        require(distance(-value, expected) > CLOSE, "The loss has the wrong sign: J is maximised, and −J the loss.")
    require(distance(value, expected) < CLOSE, sentence)


def check_gradient(submission, nu, sentence):
    arguments, data_ratio, noise_ratio = situation(nu)
    stencils = reference.stencil_matrices(2, HEIGHT, WIDTH)

    def score(images):
        s = np.stack([-0.5 * reference.quadratic_form(stencil, images) for stencil in stencils], axis=1)
        return np.hstack([s, -np.ones((len(images), 1))])

    scores = score(arguments["data"]), score(arguments["noise"])
    expected = reference.nce_gradient(data_ratio, noise_ratio, nu, *scores)
    diagonal, couplings, constant = ask(submission, "nce_gradient", [(), (2,), ()], **arguments)
    value = np.r_[diagonal, couplings, constant]
    if nu == 1:
        require(distance(-value, expected) > CLOSE, "The gradient has the wrong sign for a loss, which goes down.")
        weights_right = distance(value[:3], expected[:3]) < CLOSE
        require(
            weights_right or distance(value[3], expected[3]) > CLOSE,
            "The gradient is right for log Z alone; hold the weights' part to finite differences of your loss.",
            share=0.25,
        )
        require(
            not weights_right or distance(value, expected) < CLOSE,
            "The gradient is right for Λ's weights, but not for the free constant log Z.",
            share=0.5,
        )
    require(distance(value, expected) < CLOSE, sentence)


@pytest.mark.item("NCE", 4, "log density of the noise")
def test_noise_density(submission):
    random = np.random.default_rng(2)
    variance, images = random.uniform(0.1, 2, (3, 4)), random.normal(size=(6, 3, 4))
    value = ask(submission, "noise_log_density", (6,), images=images, variance=variance)
    expected = reference.noise_log_density(images, variance)
    require(
        np.ptp(value - expected) < 1e-3,
        "The noise's log density depends on the image in a wrong way; each pixel has a variance of its own.",
    )
    require(
        distance(value, expected) < CLOSE,
        "The noise's log density is off by a constant; count how often log 2π comes in for D pixels.",
        share=0.25,
    )


@pytest.mark.item("NCE", 1, "log density of the noise at 28 × 28")
def test_noise_density_large(submission):
    variance = np.full((28, 28), 0.01)
    images = np.random.default_rng(3).normal(scale=0.1, size=(3, 28, 28))
    value = ask(submission, "noise_log_density", (3,), images=images, variance=variance)
    expected = reference.noise_log_density(images, variance)
    wrong_by_constant = 0.5 * 783 * math.log(2 * math.pi)  # judged by the item above
    require(
        min(distance(value, expected), distance(value - wrong_by_constant, expected)) < CLOSE,
        "With 784 pixels the product of the variances is no longer a number in floating point; add logarithms.",
    )


@pytest.mark.item("NCE", 4, "the loss −J, as much noise as data")
def test_loss(submission):
    check_loss(submission, 1, "The loss is off at ν = 1; write G = log p_θ − log p_n, and −J as softplus of it.")


@pytest.mark.item("NCE", 3, "the loss −J, ν other than 1")
def test_loss_noise_ratio(submission):
    sentence = "The loss is off where ν is not 1; ν weighs the noise's term, and enters each logarithm."
    check_loss(submission, 2.5, sentence)
    check_loss(submission, 0.4, sentence)


@pytest.mark.item("NCE", 3, "the loss −J at 28 × 28, far from a balance")
def test_loss_stable(submission):
    sentence = "The loss is off where log-ratios are hundreds of nats; exp overflows there, and a cut-off is no cure."
    for constant in (-3000.0, 3000.0):
        check_loss(submission, 1, sentence, height=28, width=28, spread=1.5, log_partition=constant)


@pytest.mark.item("NCE", 4, "the gradient of −J")
def test_gradient(submission):
    check_gradient(submission, 1, "The gradient is off at ν = 1; hold it to finite differences of your loss.")


@pytest.mark.item("NCE", 2, "the gradient of −J, ν other than 1")
def test_gradient_noise_ratio(submission):
    check_gradient(submission, 2.5, "The gradient is off where ν is not 1; hold it to finite differences of your loss.")


@pytest.mark.item("NCE", 4, "training on a known lattice: nats from the truth")
def test_training_on_lattice(trainings):
    problem = problems.lattice(4)
    fit = trainings("nce", problem)
    fit.require_positive_definite()
    sentence = "The fit is {gap} nats per image from the truth; {full} is near enough."
    require_close(problem.gap(fit.matrix), ENOUGH_NATS["lattice"], problem.none, sentence)


@pytest.mark.item("NCE", 3, "training on digits: nats from the best")
def test_training_on_digits(trainings):
    problem = problems.digits()
    fit = trainings("nce", problem)
    fit.require_positive_definite()
    sentence = (
        "The fit is {gap} nats per test image from the best shared weights; {full} is near enough. "
        "Look at how well the classifier tells data from noise, and what is left to learn then."
    )
    require_close(problem.gap(fit.matrix), ENOUGH_NATS["digits"], problem.none, sentence)
