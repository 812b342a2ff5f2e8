"""Errors that are known by what they return: each with the sentence that its maker needs."""

import math

import numpy as np

from grading.grader import reference
from grading.grader.reference import softplus

LOG_2PI = math.log(2 * math.pi)
PIXELS = "Pixels are numbered row by row: "


def lattice(diagonal, couplings, height, width):
    """(sentence, Λ with the error)."""
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
    pixels = np.arange(height * width).reshape(height, width)
    matrix = np.diag(np.broadcast_to(diagonal, (height, width)).ravel().astype(float))
    for offset, coupling in zip(reference.OFFSETS, couplings, strict=False):
        other = np.roll(pixels, [-step for step in offset], axis=(0, 1)).ravel()
        values = np.broadcast_to(coupling, (height, width)).ravel()
        matrix[pixels.ravel(), other] += values
        matrix[other, pixels.ravel()] += values
    return matrix


def _run_on(right, couplings, width):
    matrix, last = right.copy(), np.arange(width - 1, len(right) - 1, width)
    values = np.broadcast_to(couplings[0], (len(right) // width, width)).ravel()[last]
    matrix[last, last + 1] = matrix[last + 1, last] = values
    return matrix


def noise_density(images, variance):
    """(sentence, log p_n with the error, share)."""
    right, pixels = reference.noise_log_density(images, variance), variance.size
    squares = (images**2 / variance).sum(axis=(1, 2))
    logs = np.log(variance).sum()
    dimensions = "log p_n is off by a constant: "
    yield dimensions + "log 2π comes in D times, not once.", right + 0.5 * (pixels - 1) * LOG_2PI, 0.25
    yield dimensions + "−½ D log 2π is missing, which D pixels have.", right + 0.5 * pixels * LOG_2PI, 0.25
    yield dimensions + "−½ Σ log variance is missing.", right + 0.5 * logs, 0.25
    yield dimensions + "½ is missing before Σ log variance.", right - 0.5 * logs, 0.25
    yield dimensions + "+½ Σ log variance should be −½.", right + logs, 0.25
    yield "½ is missing before Σ x²/variance.", right - 0.5 * squares, 0.0
    yield (
        "`variance` is the variance, not the standard deviation.",
        (-0.5 * ((images / variance) ** 2 + LOG_2PI + 2 * np.log(variance)).sum(axis=(1, 2))),
        0.0,
    )
    yield "The log density of an image is the sum over its pixels, not their mean.", right / pixels, 0.0
    yield "The sign of log p_n is wrong.", -right, 0.0


def nce_loss(data_form, noise_form, c, data_noise, noise_noise, nu):
    """(sentence, −J with the error, share); `form` is xᵀΛx and `noise` log p_n, each on data and on noise."""

    def terms(data, noise, in_logs=nu):
        return softplus(math.log(in_logs) - data), softplus(noise - math.log(in_logs))

    def loss(data, noise, weight=nu, in_logs=nu):
        on_data, on_noise = terms(data, noise, in_logs)
        return on_data.mean() + weight * on_noise.mean()

    def ratios(half=0.5, sign=1, constant=c, known=1):
        forms = (data_form, data_noise), (noise_form, noise_noise)
        return [sign * (-half * form - constant - known * log_noise) for form, log_noise in forms]

    right = ratios()
    counts = [len(g) for g in right]
    on_data, on_noise = terms(*right)
    yield "The loss has the wrong sign: J is maximised, and −J is the loss.", -loss(*right), 0.0
    for weight in (1.0, nu):
        total = on_data.sum() + weight * on_noise.sum()
        yield "The loss is the sum over the images where each of its two terms is a mean.", total, 0.0
        yield (
            "The loss is a mean over data and noise together; each of its two terms is a mean of its own.",
            (total / sum(counts)),
            0.0,
        )
    yield "c enters with the wrong sign: log p_θ = −½xᵀΛx − c.", loss(*ratios(constant=-c)), 0.0
    yield "c, the free constant, is not in the loss: log p_θ = −½xᵀΛx − c.", loss(*ratios(constant=0)), 0.0
    yield "½ is missing: log p_θ = −½xᵀΛx − c.", loss(*ratios(half=1)), 0.0
    yield "The log-ratio's sign is turned round: G = log p_θ − log p_n.", loss(*ratios(sign=-1)), 0.0
    yield "−½xᵀΛx has the wrong sign.", loss(*ratios(half=-0.5)), 0.0
    yield "log p_n is left out.", loss(*ratios(known=0)), 0.0
    yield "ν is left out: it weighs the noise's term, and enters each logarithm.", loss(*right, 1, 1), 0.0
    yield "ν weighs the noise's term, but must enter each logarithm, too.", loss(*right, nu, 1), 0.0
    yield "ν is in the logarithms, but must weigh the noise's term, too.", loss(*right, 1, nu), 0.0
    yield "ν is applied twice in the logarithms.", loss(*right, nu, nu**2), 0.0
    yield "ν is applied upside down.", loss(*right, 1 / nu, 1 / nu), 0.0
    quotient = counts[1] / counts[0]
    sentence = "ν is taken to be M/N; it is the argument `noise_ratio`, which is not tied to the numbers of images."
    for weight, in_logs in ((quotient, quotient), (nu, quotient), (quotient, nu)):
        yield sentence, loss(*right, weight, in_logs), 0.0


def nce_gradient(right, parts):
    """(sentence, gradient with the error, share); `parts(ν, half, N, M)` is the gradient under other settings."""
    yield "The gradient has the wrong sign for a loss, which goes down.", -right, 0.0
    no_constant = np.r_[right[:-1], 0]
    sentence = "The gradient is right for Λ's weights, but not for the free constant log Z: "
    yield sentence + "it is 0 there.", no_constant, 0.5
    yield sentence + "its sign is wrong.", np.r_[right[:-1], -right[-1]], 0.5
    yield "½ is missing in the derivatives by Λ's weights: f = −½xᵀΛx.", np.r_[2 * right[:-1], right[-1]], 0.25
    yield "½ is missing: log p_θ = −½xᵀΛx − c.", parts(half=1), 0.0
    yield "ν is left out of the gradient.", parts(nu=1), 0.0
    yield "The noise's term of the gradient lacks its weight ν.", parts(weight=1), 0.0
    yield "The gradient is the sum over the images where each of its two terms is a mean.", parts(total=True), 0.0


def log_partition(matrix):
    """(sentence, log Z with the error)."""
    half_of_2pi, half_log_det = 0.5 * len(matrix) * LOG_2PI, 0.5 * np.linalg.slogdet(matrix)[1]
    yield "log det Σ = −log det Λ: the sign is the other way round.", half_of_2pi + half_log_det
    yield "log 2π comes in D times, not once.", 0.5 * LOG_2PI - half_log_det
    yield "D/2 log 2π is missing.", -half_log_det
    yield "½ is missing before log det Σ.", half_of_2pi - 2 * half_log_det
    yield "½ is missing before D log 2π.", 2 * half_of_2pi - half_log_det
    yield "The sign of log Z is wrong.", half_log_det - half_of_2pi
    yield "This is Z, not log Z.", np.exp(min(half_of_2pi - half_log_det, 700.0))


def conditional_nce(form, other_form):
    """(sentence, loss with the error); `form` is xᵀΛx of the images, `other_form` of the perturbed ones."""
    pairs = softplus(0.5 * (form - other_form))
    yield (
        "The loss prefers the perturbed images: it is log(1 + exp(f(x') − f(x))).",
        softplus(0.5 * (other_form - form)).mean(),
    )
    yield "The loss is the sum over the pairs where it is their mean.", pairs.sum()
    yield "½ is missing: f = −½xᵀΛx.", softplus(form - other_form).mean()
    yield "The loss has the wrong sign.", -pairs.mean()
    yield "The loss is the paper's, which is twice the one asked for here.", 2 * pairs.mean()


def score_matching(matrix, images):
    """(sentence, loss with the error)."""
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
    """(sentence, AAᵀ with the error)."""
    matrix = np.linalg.inv(covariance)
    factor = np.linalg.cholesky(matrix)
    yield "These are samples with covariance Λ: A = Λ^(−½), the inverse root.", matrix
    yield "A = Σ was used where A = Σ^½.", covariance @ covariance
    yield "A = Λ was used where A = Λ^(−½).", matrix @ matrix
    inverse = np.linalg.inv(factor)
    yield "With Λ = LLᵀ a sample is L⁻ᵀε; L⁻¹ε has another covariance.", inverse @ inverse.T
    yield "With Λ = LLᵀ a sample is L⁻ᵀε, not Lᵀε.", factor.T @ factor
