"""NCE: the noise's density, the loss −J, its gradient, and what training reaches."""

import math

import numpy as np

from grading.grader import errors, problems, reference
from grading.grader.judge import ask, ask_for_several, check, distance, from_own_forms, there
from grading.grader.rubric import Lost, item
from grading.grader.trainings import fit, judge_fit
from grading.items.part2_model import lattice_of

HEIGHT, WIDTH = 4, 5
ENOUGH_NATS = {"lattice": 0.05, "digits": 0.5}
STEP = 1e-3  # of finite differences
FAR = "Log-ratios are hundreds of nats here: "
SOFTPLUS = "exp overflows; softplus(t) = max(t, 0) + log(1 + exp(−|t|)) does not."


def situation(submission, nu, height=HEIGHT, width=WIDTH, spread=None, log_partition=7.0):
    """A lattice, and arguments of nce_loss with images that it likes about as well as the noise does.

    With a `spread` the images are white, and the log-ratios hundreds of nats.
    """
    random = submission.random(f"nce {nu} {height}")
    lattice = lattice_of(random.uniform(4, 4.5), -random.uniform([1, 0.6], [1.2, 0.8]), height, width)
    variance = random.uniform(0.2, 0.4, (height, width))
    noise = random.normal(size=(40, height, width)) * (spread or np.sqrt(variance))
    data = random.normal(size=(30, height, width)) * (spread or 1)
    if not spread:
        data = reference.draw(reference.precision_matrix(**lattice), 30, (height, width), random)
    arguments = {"diagonal": lattice["diagonal"], "couplings": lattice["couplings"], "data": data, "noise": noise}
    for name in ("data", "noise"):
        arguments[f"{name}_log_noise"] = reference.noise_log_density(arguments[name], variance)
    return lattice, arguments | {"log_partition": log_partition + random.uniform(-1, 1), "noise_ratio": nu}


def forms(matrix, arguments):
    """[xᵀΛx of the data, of the noise]."""
    return [reference.quadratic_form(matrix, arguments[name]) for name in ("data", "noise")]


def ratios(arguments, data_form, noise_form):
    c = arguments["log_partition"]
    return [-0.5 * f - c - arguments[n] for f, n in ((data_form, "data_log_noise"), (noise_form, "noise_log_noise"))]


def check_loss(submission, nu, sentence, if_nan="", **changes):
    lattice, arguments = situation(submission, nu, **changes)

    def loss(of):
        return reference.nce_loss(*ratios(arguments, *of), nu)

    value = ask(submission, "nce_loss", (), if_nan, **arguments)
    right = forms(reference.precision_matrix(**lattice), arguments)
    known = errors.nce_loss(*right, *(arguments[n] for n in ("log_partition", "data_log_noise", "noise_log_noise")), nu)
    follow = from_own_forms(submission, lattice, loss, arguments["data"], arguments["noise"])
    check(submission, "nce_loss", value, loss(right), sentence, known, follow)


def gradient_from(arguments, of_weights, of_units, nu=None, weight=None, half=0.5, total=False):
    """The gradient of −J from xᵀΛx and xᵀ(∂Λ/∂θ)x, each [of the data, of the noise]; the rest are errors."""
    nu = nu or arguments["noise_ratio"]
    weight = weight or nu
    scores = [np.hstack([-half * units, -np.ones((len(units), 1))]) for units in of_units]
    data_ratio, noise_ratio = ratios(arguments, *(2 * half * form for form in of_weights))
    on_data = -reference.sigmoid(math.log(nu) - data_ratio) @ scores[0]
    on_noise = weight * reference.sigmoid(noise_ratio - math.log(nu)) @ scores[1]
    return on_data + on_noise if total else on_data / len(data_ratio) + on_noise / len(noise_ratio)


def check_gradient(submission, nu):
    lattice, arguments = situation(submission, nu)
    stencils = reference.stencil_matrices(2, HEIGHT, WIDTH)
    right = forms(reference.precision_matrix(**lattice), arguments)
    units = [np.stack(columns, axis=1) for columns in zip(*(forms(m, arguments) for m in stencils), strict=True)]
    expected = gradient_from(arguments, right, units)
    shapes = {"derivative by diagonal": [()], "derivative by couplings": [(2,)], "derivative by c": [()]}
    parts = ask_for_several(submission, "nce_gradient", shapes, **arguments)
    if isinstance(parts[2], Lost):
        parts[2] = np.zeros(())
    value = np.hstack([there(part) for part in parts])

    def follow():
        lattices = [lattice, *(lattice_of(unit[0], unit[1:], HEIGHT, WIDTH) for unit in np.eye(3))]
        images = arguments["data"], arguments["noise"]
        own = (from_own_forms(submission, each, list, *images) for each in lattices)
        for (source, of), *of_units in zip(*own, strict=True):
            columns = [np.stack([form[which] for _, form in of_units], axis=1) for which in (0, 1)]
            yield source, gradient_from(arguments, of, columns)

    known = errors.nce_gradient(expected, lambda **error: gradient_from(arguments, right, units, **error))
    sentence = "The gradient is off; hold it to finite differences of your loss."
    if distance(value[-1], expected[-1]) < 1e-4:
        sentence = f"{sentence} It is right for the free constant log Z alone."
    own = own_differences(submission, arguments) if "nce_loss" in submission.failed else None
    if own is not None and distance(value, own) < 0.01 and distance(value, expected) > 1e-4:
        submission.remark(f"The gradient of your own loss, which is charged in “{submission.failed['nce_loss']}” only.")
        return
    check(submission, "nce_gradient", value, expected, sentence, known, follow())


def own_differences(submission, arguments):
    """Central differences of the submission's own loss, or None."""

    def loss(unknowns):
        named = {"diagonal": unknowns[0], "couplings": unknowns[1:3], "log_partition": unknowns[3]}
        return ask(submission, "nce_loss", (), **arguments | named)

    unknowns = np.r_[arguments["diagonal"], arguments["couplings"], arguments["log_partition"]]
    try:
        ends = [loss(unknowns + step) - loss(unknowns - step) for step in STEP * np.eye(4)]
    except Lost:
        return None
    return np.array(ends) / (2 * STEP)


def check_density(submission, images, variance, sentence, if_nan=""):
    value = ask(submission, "noise_log_density", images.shape[:1], if_nan, images=images, variance=variance)
    expected = reference.noise_log_density(images, variance)
    if np.ptp(value - expected) > 1e-3 * np.ptp(expected):
        sentence = "log p_n depends on the image in a wrong way; each pixel has a variance of its own."
    check(submission, "noise_log_density", value, expected, sentence, errors.noise_density(images, variance))


@item("NCE", 4, "log density of the noise")
def noise_density(submission):
    random = submission.random("noise density")
    variance, images = random.uniform(0.1, 2, (3, 4)), random.normal(size=(6, 3, 4))
    check_density(submission, images, variance, "log p_n is off by a constant; count how often log 2π comes in.")


@item("NCE", 1, "log density of the noise at 28 × 28")
def noise_density_large(submission):
    random = submission.random("noise density at 28 × 28")
    variance = np.full((28, 28), random.uniform(0.008, 0.012))
    sentence = "With 784 pixels the product of the variances is no longer a number in floating point; add logarithms."
    check_density(submission, random.normal(scale=0.1, size=(3, 28, 28)), variance, sentence, sentence)


@item("NCE", 4, "the loss −J, as much noise as data")
def loss(submission):
    check_loss(submission, 1, "The loss is off at ν = 1; write G = log p_θ − log p_n, and −J as softplus of it.")


@item("NCE", 3, "the loss −J, ν other than 1")
def loss_noise_ratio(submission):
    sentence = "The loss is off where ν is not 1; ν weighs the noise's term, and enters each logarithm."
    check_loss(submission, 2.5, sentence)
    check_loss(submission, 0.4, sentence)


@item("NCE", 3, "the loss −J at 28 × 28, far from a balance")
def loss_stable(submission):
    sentence = f"The loss is off. {FAR}a cut-off (clip, or log(… + 1e-…)) flattens them, and softplus is exact."
    for constant in (-3000.0, 3000.0):
        check_loss(submission, 1, sentence, FAR + SOFTPLUS, height=28, width=28, spread=0.8, log_partition=constant)


@item("NCE", 4, "the gradient of −J")
def gradient(submission):
    check_gradient(submission, 1)


@item("NCE", 2, "the gradient of −J, ν other than 1")
def gradient_noise_ratio(submission):
    check_gradient(submission, 2.5)


@item("NCE", 4, "training on a known lattice: nats from the truth")
def training_on_lattice(submission):
    judge_fit(submission, fit(submission, "nce", problems.lattice(submission, 4)), ENOUGH_NATS["lattice"])


@item("NCE", 3, "training on digits: nats from the best")
def training_on_digits(submission):
    hint = "Look at how well the classifier tells data from noise, and what is left to learn then."
    judge_fit(submission, fit(submission, "nce", problems.digits(submission)), ENOUGH_NATS["digits"], hint)
