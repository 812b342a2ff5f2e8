"""The errors of the course's notes, each as written beside the correct form, and by how much either is off.

`errata()` computes the rows of the report's appendix; `answers()` the numbers that answer the notes' open questions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from assignment.derivation import formulas as correct
from assignment.lattice.precision import StencilPrecision


class Erratum(NamedTuple):
    """One row: LaTeX for `where`, `as_written` and `correct`; the largest deviations from `reference`, relative to it.

    `theirs` is None where the formula as written has no finite value.
    """

    where: str
    as_written: str
    correct: str
    reference: str
    ours: float
    theirs: float | None


class Example(NamedTuple):
    """A problem small enough for finite differences: a 4-connected lattice with shared weights, in float64."""

    layer: StencilPrecision
    derivative: tf.Tensor
    data: tf.Tensor
    noise: tf.Tensor
    noise_precision: tf.Tensor
    nu: float

    @property
    def theta(self) -> tf.Tensor:
        """Where it is evaluated, [P]."""
        return tf.identity(self.layer.theta.value)

    def precision(self, theta: tf.Tensor) -> tf.Tensor:
        """Λ(θ), [D, D]."""
        return tf.linalg.matvec(self.derivative, theta)

    def log_weights(self, theta: tf.Tensor) -> list[tf.Tensor]:
        """log w on data and on noise."""
        return [correct.log_weight(x, self.precision(theta), self.noise_precision) for x in (self.data, self.noise)]


def example(
    height: int = 3,
    width: int = 3,
    connectivity: int = 4,
    weights: str = "shared",
    noise_precision: float = 4.0,
    seed: int = 0,
) -> Example:
    """The model at (5; −0.7 for every edge, four neighbours), data of (4.5; −1), noise of N(0, I/4), ν = 2."""
    layer = StencilPrecision(connectivity, weights, dtype="float64")
    layer.build((None, height, width))

    def lattice(diagonal, coupling):
        layer.assign_theta(np.repeat([diagonal] + [coupling] * len(layer.offsets), layer.group_sizes))
        return layer.to_dense().numpy()

    random = np.random.default_rng(seed)
    root = np.linalg.cholesky(np.linalg.inv(lattice(0.5 + connectivity, -1)))
    data = random.standard_normal((30, layer.pixels)) @ root.T
    noise = random.standard_normal((60, layer.pixels)) / math.sqrt(noise_precision)
    lattice(1 + connectivity, -0.7)
    derivative = correct.layer_derivative(layer)
    noise_precision *= tf.eye(layer.pixels, dtype=tf.float64)
    return Example(layer, derivative, tf.constant(data), tf.constant(noise), noise_precision, nu=2.0)


# As written. `e` is an Example; θ is where it is evaluated.


def _quadratic(x, difference):
    return -2 * correct.energy(x, difference)


def _log_determinant_ratio(e, theta):
    """log(det Λ_n/det Λ_θ)."""
    return correct.log_determinant(e.noise_precision) - correct.log_determinant(e.precision(theta))


def _log_weight(e, theta, x):
    quadratic = _quadratic(x, e.noise_precision - e.precision(theta))
    return 0.5 * _log_determinant_ratio(e, theta) + quadratic


def _model_factored(e, theta):
    _, log_w_noise = log_w = e.log_weights(theta)
    energies = log_w_noise - 0.5 * _log_determinant_ratio(e, theta)
    constant = -e.nu * _constant(e, theta)
    logs = correct.objective_model_factored(*log_w, e.nu) - e.nu * tf.reduce_mean(log_w_noise) - e.nu * math.log(e.nu)
    return e.nu * tf.reduce_mean(energies) + constant + logs


def _constant(e, theta):
    """log(ν Z_θ/Z_n) = ½ log(ν² det Λ_n/det Λ_θ), without the sign and the factor ν that are in question."""
    return math.log(e.nu) + 0.5 * _log_determinant_ratio(e, theta)


def _first_term(e, theta):
    return e.nu * tf.reduce_mean(_quadratic(e.noise, e.noise_precision - e.precision(theta)))


def _objective(e, theta):
    """Step 3."""
    data, noise = (tf.nn.softplus(math.log(e.nu) + _log_weight(e, theta, x)) for x in (e.data, e.noise))
    logs = tf.reduce_mean(data) + e.nu * tf.reduce_mean(noise)
    return _first_term(e, theta) - e.nu * _constant(e, theta) - logs


def _pieces(e, theta):
    """w/(νw + 1), xᵀ∂Λx on data and on noise, and tr(Σ∂Λ), with w as written."""
    shares = [tf.sigmoid(math.log(e.nu) + _log_weight(e, theta, x)) / e.nu for x in (e.data, e.noise)]
    moments = [correct.quadratic_derivatives(x, e.derivative) for x in (e.data, e.noise)]
    return *shares, *moments, correct.trace_derivatives(e.precision(theta), e.derivative)


def _mean(share, moments):
    return tf.reduce_mean(share[:, None] * moments, axis=0)


def _gradient_before_step_4(e, theta):
    share, noise_share, moments, noise_moments, traces = _pieces(e, theta)
    total = -e.nu * tf.reduce_mean(noise_moments, axis=0) + 0.5 * e.nu * traces
    total += e.nu * _mean(share, 0.5 * traces + moments)
    return total + e.nu**2 * _mean(noise_share, 0.5 * traces + noise_moments)


def _with_trace_of_step_4(e, theta):
    """The line before Step 4 with Step 4's factor of the trace, which lost a factor ν in both of its sums."""
    share, noise_share, *_, traces = _pieces(e, theta)
    lost = (e.nu - 1) * (tf.reduce_mean(share) + e.nu * tf.reduce_mean(noise_share))
    return _gradient_before_step_4(e, theta) - 0.5 * traces * lost


def _gradient(e, theta):
    """Step 4."""
    share, noise_share, moments, noise_moments, traces = _pieces(e, theta)
    factor = e.nu + tf.reduce_mean(share) + e.nu * tf.reduce_mean(noise_share)
    return e.nu * _mean(share, moments) - e.nu * _mean(noise_share - 1, noise_moments) + 0.5 * traces * factor


# Correct.


def _definition(e, theta):
    return correct.objective_by_definition(e.data, e.noise, e.precision(theta), e.noise_precision, e.nu)


def _correct_gradient(e, theta):
    moments = [correct.quadratic_derivatives(x, e.derivative) for x in (e.data, e.noise)]
    traces = correct.trace_derivatives(e.precision(theta), e.derivative)
    return correct.gradient(*e.log_weights(theta), *moments, traces, e.nu)


def _log_density_ratio(e, theta, x):
    return correct.log_density(x, e.noise_precision) - correct.log_density(x, e.precision(theta))


DEFINITION, DIFFERENCES = "definition", "finite differences"


def errata() -> list[Erratum]:
    """Every error of the notes with its correction; the deviations are computed now, in float64."""
    e = example()
    at = e, e.theta
    return [
        *_errors_of_the_objective(*at),
        *_errors_of_the_gaussian_form(*at),
        *_errors_of_the_gradient(*at),
        _overflow(),
    ]


def _row(where, as_written, right, reference, truth, ours, theirs):
    return Erratum(where, as_written, right, reference, _deviation(ours, truth), _deviation(theirs, truth))


def _deviation(value, truth):
    """The largest deviation from the truth, relative to the largest of its numbers; None if it is not finite."""
    deviation = np.max(np.abs(value - truth)) / np.max(np.abs(truth))
    return float(deviation) if np.isfinite(deviation) else None


def _errors_of_the_objective(e, theta):
    log_w, truth, gradient = e.log_weights(theta), _definition(e, theta), _correct_gradient(e, theta)
    log_loss = correct.central_differences(lambda t: -_definition(e, t), theta)
    written, model_factored = _model_factored(e, theta), correct.objective_model_factored(*log_w, e.nu)
    average = 0.5 * (correct.objective_noise_factored(*log_w, e.nu) + written)
    return [
        _row("The objective; Step 4", "minimise $J$", "minimise $-J$", DIFFERENCES, log_loss, -gradient, gradient),
        _row(r"$J$ with $p_\theta$ factored out", r"$-\nu\log(\nu Z_\theta/Z_n)$", r"$+\nu\log(\nu Z_\theta/Z_n)$",
             DEFINITION, truth, model_factored, written),
        _row("The average of the two forms", "a third expression", r"the same number $J$",
             DEFINITION, truth, correct.objective(*log_w, e.nu), average),
    ]  # fmt: skip


def _errors_of_the_gaussian_form(e, theta):
    log_w, truth = e.log_weights(theta), _definition(e, theta)
    ratio = _log_density_ratio(e, theta, e.noise)
    constant = math.log(e.nu) + correct.log_partition(e.precision(theta)) - correct.log_partition(e.noise_precision)
    first_term = e.nu * (math.log(e.nu) + tf.reduce_mean(ratio) - constant)
    return [
        _row("$w(x)$, Step 2", r"$\exp(x^T(\Lambda_n-\Lambda_\theta)x)$",
             r"$\exp(\frac12x^T(\Lambda_\theta-\Lambda_n)x)$", DEFINITION,
             ratio, log_w[1], _log_weight(e, theta, e.noise)),
        _row("Step 3: first term", r"$\frac{\nu}{M}\sum_j x_j'^T(\Lambda_n-\Lambda_\theta)x_j'$",
             r"$\frac{\nu}{2M}\sum_j x_j'^T(\Lambda_\theta-\Lambda_n)x_j'$", DEFINITION,
             first_term, -0.5 * _first_term(e, theta), _first_term(e, theta)),
        _row("Step 3: the constant", r"$-\frac\nu2\log(\nu^2\det\Lambda_n/\det\Lambda_\theta)$",
             r"$+\frac\nu2\log(\nu^2\det\Lambda_n/\det\Lambda_\theta)$", DEFINITION,
             e.nu * constant, e.nu * _constant(e, theta), -e.nu * _constant(e, theta)),
        _row("Step 3: $J$ as a whole", "the three together", "the three corrected", DEFINITION,
             truth, correct.objective(*log_w, e.nu), _objective(e, theta)),
    ]  # fmt: skip


def _errors_of_the_gradient(e, theta):
    truth = correct.central_differences(lambda t: _definition(e, t), theta)
    of_their_own = correct.central_differences(lambda t: _objective(e, t), theta)
    gradient, before, step_4 = _correct_gradient(e, theta), _gradient_before_step_4(e, theta), _gradient(e, theta)
    return [
        _row(r"$\partial J/\partial\theta_k$ before Step 4", "derivative of the $J$ above",
             "derivative of the corrected $J$", DIFFERENCES, truth, gradient, before),
        _row("From there to Step 4: noise", r"$-\frac{\nu}{M}\sum_j(\frac{w}{\nu w+1}-1)$",
             r"$+\frac{\nu}{M}\sum_j(\frac{\nu w}{\nu w+1}-1)$", DIFFERENCES + " of the notes' own $J$",
             of_their_own, before, step_4 + before - _with_trace_of_step_4(e, theta)),
        _row("From there to Step 4: trace", r"$\nu+\frac1N\sum_i\frac{w}{\nu w+1}+\frac{\nu}{M}\sum_j\cdots$",
             r"$\nu+\frac{\nu}{N}\sum_i\frac{w}{\nu w+1}+\frac{\nu^2}{M}\sum_j\cdots$",
             DIFFERENCES + " of the notes' own $J$", of_their_own, before, _with_trace_of_step_4(e, theta)),
        _row("Step 4 as a whole", "all of these together", r"$\partial J/\partial\theta_k$ of the text", DIFFERENCES,
             truth, gradient, step_4),
    ]  # fmt: skip


def _overflow():
    """log(νw + 1) at D = 784, the exercise's size, for images of white noise: w itself leaves float64."""
    e = example(28, 28, noise_precision=1.0)
    theta = e.theta
    _, log_w = e.log_weights(theta)
    truth = -correct.log_posterior(0, e.noise, e.precision(theta), e.noise_precision, e.nu)
    ours, naive = tf.nn.softplus(math.log(e.nu) + log_w), tf.math.log(e.nu * tf.exp(log_w) + 1)
    return _row(r"Steps 2 and 3, $D=784$", r"form $w(x)$, then $\log(\nu w+1)$",
                r"$\mathrm{softplus}(\log\nu+\log w)$", DEFINITION, truth, ours, naive)  # fmt: skip


def answers() -> dict[str, float]:
    """The notes' open questions in numbers, as a dict of floats.

    `forms_differ`: between the two forms of J, relative. `curl_*`: the largest entry of ∂_l(Σ∂_kΛ) − ∂_k(Σ∂_lΛ) over
    the largest of the products; `curl_by_differences`: how far it is from finite differences. `trace`, `logarithm`:
    tr(Σ∂Λ) − ∂ log det Λ, and Σ∂Λ − ∂ log Λ for four neighbours with shared weights, against finite differences.
    `jacobian`: ∇Λ in one go against finite differences.
    """
    e = example()
    theta = e.theta
    log_w, precision = e.log_weights(theta), e.precision(theta)
    forms = [form(*log_w, e.nu) for form in (correct.objective_noise_factored, correct.objective_model_factored)]
    differences = {
        name: correct.central_differences(lambda t, f=f: f(e.precision(t)), theta)
        for name, f in (("trace", correct.log_determinant), ("logarithm", correct.matrix_logarithm))
    }
    products = tf.einsum("ij,jlk->ilk", tf.linalg.inv(precision), e.derivative)
    assembled = correct.central_differences(lambda t: _dense(e.layer, t), theta)
    return {
        "forms_differ": _deviation(*forms),
        "curl_shared_4": _curl(e),
        "curl_per_edge_4": _curl(example(weights="per_edge")),
        "curl_shared_8": _curl(example(connectivity=8)),
        "curl_by_differences": _curl_by_differences(example(connectivity=8)),
        "trace": _deviation(correct.trace_derivatives(precision, e.derivative), differences["trace"]),
        "logarithm": _deviation(products, differences["logarithm"]),
        "jacobian": _deviation(e.derivative, assembled),
    }


def _dense(layer, theta):
    layer.theta.assign(theta)
    return layer.to_dense()


def _curl(e):
    precision = e.precision(e.theta)
    products = tf.einsum("ij,jlk->ilk", tf.linalg.inv(precision), e.derivative)
    return float(tf.reduce_max(tf.abs(correct.curl(precision, e.derivative))) / tf.reduce_max(tf.abs(products)) ** 2)


def _curl_by_differences(e):
    def products(theta):
        return tf.einsum("ij,jlk->kil", tf.linalg.inv(e.precision(theta)), e.derivative)

    theta = e.theta
    mixed = tf.transpose(correct.central_differences(products, theta), [0, 3, 1, 2])  # ∂_l(Σ∂_kΛ), [k, l, D, D]
    return _deviation(correct.curl(e.precision(theta), e.derivative), mixed - tf.transpose(mixed, [1, 0, 2, 3]))


def record() -> dict:
    """`errata()` and `answers()` as one dict for JSON: what the report's appendix is made of."""
    return {"errata": [erratum._asdict() for erratum in errata()], "answers": answers()}
