"""Errors that are known by what they return: each with the sentence that its maker needs.

All functions here yield (sentence, the value with the error), and where an error earns a share of the points, that too.
"""

import math

import numpy as np

from grading.grader import reference
from grading.grader.reference import softplus

LOG_2PI = math.log(2 * math.pi)
PIXELS = "Pixels are numbered row by row: "


def lattice(diagonal, couplings, height, width):
    """Of Λ."""
    couplings = np.asarray(couplings)

    def matrix(changed):
        return reference.precision_matrix(diagonal, changed, height, width)

    right = matrix(couplings)
    yield "Right and down are taken for each other.", matrix(couplings[[1, 0, *range(2, len(couplings))]])
    if len(couplings) == 4:
        yield "Down-right and down-left are taken for each other.", matrix(couplings[[0, 1, 3, 2]])
    yield "`couplings` are the entries of Λ themselves; yours have the other sign.", matrix(-couplings)
    yield "An edge counts twice in xᵀΛx, as Λ_ij and as Λ_ji; yours has half its weight.", matrix(couplings / 2)
    yield "An edge counts twice in xᵀΛx, as Λ_ij and as Λ_ji; yours has double its weight.", matrix(2 * couplings)
    yield "Λ must be symmetric: an edge stands above and below the diagonal.", np.triu(right)
    yield "Λ must be symmetric: an edge stands above and below the diagonal.", np.tril(right)
    wrapped = _wrapped(diagonal, couplings, height, width)
    yield "The image's border is taken for a neighbour of the border across.", wrapped
    yield PIXELS + "the last of a row is no neighbour of the next row's first.", _run_on(right, couplings, width)
    order = np.arange(height * width).reshape(height, width).T.ravel()
    yield PIXELS + "yours are numbered column by column.", right[np.ix_(order, order)]


def _wrapped(diagonal, couplings, height, width):
    pixels, unit = np.ones((height, width)), np.eye(height * width)
    matrix = unit * (diagonal * pixels).ravel()
    for offset, coupling in zip(reference.OFFSETS, couplings, strict=False):
        others = np.roll(unit.reshape(-1, height, width), offset, axis=(1, 2)).reshape(unit.shape)
        edges = (coupling * pixels).reshape(-1, 1) * others
        matrix += edges + edges.T
    return matrix


def _run_on(right, couplings, width):
    matrix, last = right.copy(), np.arange(width - 1, len(right) - 1, width)
    values = np.broadcast_to(couplings[0], (len(right) // width, width)).ravel()[last]
    matrix[last, last + 1] = matrix[last + 1, last] = values
    return matrix


def noise_density(images, variance):
    """Of log p_n."""
    right, pixels = reference.noise_log_density(images, variance), variance.size
    squares = (images**2 / variance).sum(axis=(1, 2))
    logs = np.log(variance).sum()
    dimensions = "log p_n is off by a constant: "
    yield dimensions + "log 2π comes in D times, not once.", right + 0.5 * (pixels - 1) * LOG_2PI, 0.25
    yield dimensions + "−½ D log 2π is missing, which D pixels have.", right + 0.5 * pixels * LOG_2PI, 0.25
    yield dimensions + "−½ Σ log variance is missing.", right + 0.5 * logs, 0.25
    yield dimensions + "½ is missing before Σ log variance.", right - 0.5 * logs, 0.25
    yield dimensions + "+½ Σ log variance should be −½.", right + logs, 0.25
    yield "½ is missing before Σ x²/variance.", right - 0.5 * squares
    squared = reference.noise_log_density(images, variance**2)
    yield "`variance` is the variance, not the standard deviation.", squared
    yield "The log density of an image is the sum over its pixels, not their mean.", right / pixels
    yield "The sign of log p_n is wrong.", -right


def nce_loss(data_form, noise_form, c, data_noise, noise_noise, nu):
    """Of −J; `form` is xᵀΛx and `noise` log p_n, each on data and on noise."""

    def loss(data, noise, weight=nu, in_logs=nu, total=np.mean):
        return total(softplus(math.log(in_logs) - data)) + weight * total(softplus(noise - math.log(in_logs)))

    def ratios(half=0.5, sign=1, constant=c, known=1):
        forms = (data_form, data_noise), (noise_form, noise_noise)
        return [sign * (-half * form - constant - known * log_noise) for form, log_noise in forms]

    right = ratios()
    counts = [len(g) for g in right]
    yield "The loss has the wrong sign: J is maximised, and −J is the loss.", -loss(*right)
    for weight in (1.0, nu):
        total = loss(*right, weight, total=np.sum)
        yield "The loss is the sum over the images where each of its two terms is a mean.", total
        sentence = "The loss is a mean over data and noise together; each of its two terms is a mean of its own."
        yield sentence, total / sum(counts)
    yield "c enters with the wrong sign: log p_θ = −½xᵀΛx − c.", loss(*ratios(constant=-c))
    yield "c, the free constant, is not in the loss: log p_θ = −½xᵀΛx − c.", loss(*ratios(constant=0))
    yield "½ is missing: log p_θ = −½xᵀΛx − c.", loss(*ratios(half=1))
    yield "The log-ratio's sign is turned round: G = log p_θ − log p_n.", loss(*ratios(sign=-1))
    yield "−½xᵀΛx has the wrong sign.", loss(*ratios(half=-0.5))
    yield "log p_n is left out.", loss(*ratios(known=0))
    yield "ν is left out: it weighs the noise's term, and enters each logarithm.", loss(*right, 1, 1)
    yield "ν weighs the noise's term, but must enter each logarithm, too.", loss(*right, nu, 1)
    yield "ν is in the logarithms, but must weigh the noise's term, too.", loss(*right, 1, nu)
    yield "ν is applied twice in the logarithms.", loss(*right, nu, nu**2)
    yield "ν is applied upside down.", loss(*right, 1 / nu, 1 / nu)
    quotient = counts[1] / counts[0]
    sentence = "ν is taken to be M/N; it is the argument `noise_ratio`, which is not tied to the numbers of images."
    for weight, in_logs in ((quotient, quotient), (nu, quotient), (quotient, nu)):
        yield sentence, loss(*right, weight, in_logs)


def nce_gradient(right, parts):
    """Of the gradient; `parts(**error)` is the gradient with other settings."""
    yield "The gradient has the wrong sign for a loss, which goes down.", -right
    sentence = "The gradient is right for Λ's weights, but not for the free constant log Z: "
    yield sentence + "it is 0 there.", np.r_[right[:-1], 0], 0.5
    yield sentence + "its sign is wrong.", np.r_[right[:-1], -right[-1]], 0.5
    yield "½ is missing in the derivatives by Λ's weights: f = −½xᵀΛx.", np.r_[2 * right[:-1], right[-1]], 0.25
    yield "½ is missing: log p_θ = −½xᵀΛx − c.", parts(half=1)
    yield "ν is left out of the gradient.", parts(nu=1)
    yield "The noise's term of the gradient lacks its weight ν.", parts(weight=1)
    yield "The gradient is the sum over the images where each of its two terms is a mean.", parts(total=True)


def log_partition(matrix):
    """Of log Z."""
    half_of_2pi, half_log_det = 0.5 * len(matrix) * LOG_2PI, 0.5 * np.linalg.slogdet(matrix)[1]
    yield "log det Σ = −log det Λ: the sign is the other way round.", half_of_2pi + half_log_det
    yield "log 2π comes in D times, not once.", 0.5 * LOG_2PI - half_log_det
    yield "D/2 log 2π is missing.", -half_log_det
    yield "½ is missing before log det Σ.", half_of_2pi - 2 * half_log_det
    yield "½ is missing before D log 2π.", 2 * half_of_2pi - half_log_det
    yield "The sign of log Z is wrong.", half_log_det - half_of_2pi
    yield "This is Z, not log Z.", np.exp(min(half_of_2pi - half_log_det, 700.0))


def conditional_nce(form, other_form):
    """Of its loss; `form` is xᵀΛx of the images, `other_form` of the perturbed ones."""
    pairs = softplus(0.5 * (form - other_form))
    turned = softplus(0.5 * (other_form - form)).mean()
    yield "The loss prefers the perturbed images: it is log(1 + exp(f(x') − f(x))).", turned
    yield "The loss is the sum over the pairs where it is their mean.", pairs.sum()
    yield "½ is missing: f = −½xᵀΛx.", softplus(form - other_form).mean()
    yield "The loss has the wrong sign.", -pairs.mean()
    yield "The loss is the paper's, which is twice the one asked for here.", 2 * pairs.mean()


def score_matching(matrix, images):
    """Of its loss."""
    squares = np.square(np.reshape(images, (len(images), -1)) @ matrix).sum(axis=1)
    trace, pixels = np.trace(matrix), len(matrix)
    yield "The trace is divided by D: it is a sum over the pixels.", 0.5 * squares.mean() - trace / pixels
    yield "The loss is a mean over the pixels where it is their sum.", (0.5 * squares.mean() - trace) / pixels
    yield "½ is missing before ‖Λx‖².", squares.mean() - trace
    yield "The trace has the wrong sign: −tr Λ.", 0.5 * squares.mean() + trace
    yield "The trace is missing.", 0.5 * squares.mean()
    yield "½‖Λx‖² is a mean over the images, not a sum.", 0.5 * squares.sum() - trace
    yield "The loss is the sum over the images where it is their mean.", 0.5 * squares.sum() - len(images) * trace


def root(covariance):
    """Of AAᵀ."""
    matrix = np.linalg.inv(covariance)
    factor = np.linalg.cholesky(matrix)
    yield "These are samples with covariance Λ: A = Λ^(−½), the inverse root.", matrix
    yield "A = Σ was used where A = Σ^½.", covariance @ covariance
    yield "A = Λ was used where A = Λ^(−½).", matrix @ matrix
    inverse = np.linalg.inv(factor)
    yield "With Λ = LLᵀ a sample is L⁻ᵀε; L⁻¹ε has another covariance.", inverse @ inverse.T
    yield "With Λ = LLᵀ a sample is L⁻ᵀε, not Lᵀε.", factor.T @ factor
