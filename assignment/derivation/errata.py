"""The errors of the course's notes, each as written beside the correct form, and by how much either is off.

`errata()` computes the rows of the report's appendix, `answers()` the numbers that answer the notes' open questions.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from assignment.derivation import formulas as correct
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.nce import nce_loss


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
    height: int = 3, width: int = 3, connectivity: int = 4, weights: str = "shared", noise_precision: float = 4.0
) -> Example:
    """The model at (5; −0.7 for every edge, four neighbours), data of (4.5; −1), noise of N(0, I/4), ν = 2."""
    layer = StencilPrecision(connectivity, weights, dtype="float64")
    layer.build((None, height, width))

    def lattice(diagonal, coupling):
        layer.assign_theta(np.repeat([diagonal] + [coupling] * len(layer.offsets), layer.group_sizes))
        return layer.to_dense().numpy()

    random = np.random.default_rng(0)
    root = np.linalg.cholesky(np.linalg.inv(lattice(0.5 + connectivity, -1)))
    data = random.standard_normal((30, layer.pixels)) @ root.T
    noise = random.standard_normal((60, layer.pixels)) / math.sqrt(noise_precision)
    lattice(1 + connectivity, -0.7)
    derivative = correct.precision_derivative(lambda _: layer.to_dense(), layer.theta.value)
    noise_precision *= tf.eye(layer.pixels, dtype=tf.float64)
    return Example(layer, derivative, tf.constant(data), tf.constant(noise), noise_precision, nu=2.0)


# As written. `e` is an Example; θ is where it is evaluated.


def _quadratic(e, theta, x):
    """xᵀ(Λ_n − Λ_θ)x, Step 2 without the ½."""
    return -2 * correct.energy(x, e.noise_precision - e.precision(theta))


def _constant(e, theta):
    """log(ν Z_θ/Z_n) = ½ log(ν² det Λ_n/det Λ_θ), whose sign is in question."""
    determinants = [correct.log_determinant(precision) for precision in (e.noise_precision, e.precision(theta))]
    return math.log(e.nu) + 0.5 * (determinants[0] - determinants[1])


def _log_odds(e, theta):
    """log νw on data and on noise, Step 2."""
    return [_constant(e, theta) + _quadratic(e, theta, x) for x in (e.data, e.noise)]


def _objective(e, theta):
    """Step 3: its first term, and J."""
    first = e.nu * tf.reduce_mean(_quadratic(e, theta, e.noise))
    data, noise = map(tf.nn.softplus, _log_odds(e, theta))
    return first, first - e.nu * _constant(e, theta) - tf.reduce_mean(data) - e.nu * tf.reduce_mean(noise)


def _gradients(e, theta):
    """The line before Step 4; the same with Step 4's factor of the trace; Step 4."""
    share, noise_share = (tf.sigmoid(odds) / e.nu for odds in _log_odds(e, theta))
    moments, noise_moments = (correct.quadratic_derivatives(x, e.derivative) for x in (e.data, e.noise))
    traces = correct.trace_derivatives(e.precision(theta), e.derivative)

    def mean(shares, of):
        return tf.reduce_mean(shares[:, None] * of, axis=0)

    before = -e.nu * tf.reduce_mean(noise_moments, axis=0) + 0.5 * e.nu * traces
    before += e.nu * mean(share, 0.5 * traces + moments)
    before += e.nu**2 * mean(noise_share, 0.5 * traces + noise_moments)
    shares = tf.reduce_mean(share) + e.nu * tf.reduce_mean(noise_share)  # A factor ν is lost before both.
    step_4 = e.nu * mean(share, moments) - e.nu * mean(noise_share - 1, noise_moments)
    step_4 += 0.5 * traces * (e.nu + shares)
    return before, before - 0.5 * traces * (e.nu - 1) * shares, step_4


DEFINITION, DIFFERENCES = "definition", "finite differences"
OF_THEIRS = "finite differences of the notes' own $J$"


def errata() -> list[dict]:
    """Every error of the notes with its correction, as rows of the report's table; computed now, in float64.

    A row has LaTeX for `where`, `as_written` and `correct`, what both are held to, `reference`, and the largest
    deviations of either, `ours` and `theirs`, relative to it. `theirs` is None where it has no finite value.
    """
    e = example()
    theta, nu, log_w = e.theta, e.nu, e.log_weights(e.theta)
    precision, noise_precision = e.precision(theta), e.noise_precision

    def definition(t):
        return correct.objective_by_definition(e.data, e.noise, e.precision(t), noise_precision, nu)

    # The objective.
    truth, objective = definition(theta), -nce_loss(-log_w[0], -log_w[1], nu)
    model_factored = correct.objective_model_factored(*log_w, nu)
    # With −ν log(ν Z_θ/Z_n) in the place of +ν log(ν Z_θ/Z_n).
    wrong_sign = model_factored - 2 * nu * _constant(e, theta)
    average = 0.5 * (correct.objective_noise_factored(*log_w, nu) + wrong_sign)
    # Its Gaussian form.
    ratio = correct.log_density(e.noise, noise_precision) - correct.log_density(e.noise, precision)
    constant = math.log(nu) + correct.log_partition(precision) - correct.log_partition(noise_precision)
    first_term = nu * (math.log(nu) + tf.reduce_mean(ratio) - constant)
    # The gradient.
    slope = correct.central_differences(definition, theta)
    their_first_term, their_objective = _objective(e, theta)
    their_slope = correct.central_differences(lambda t: _objective(e, t)[1], theta)
    traces = correct.trace_derivatives(precision, e.derivative)
    scores = [correct.scores(correct.quadratic_derivatives(x, e.derivative), traces) for x in (e.data, e.noise)]
    gradient = correct.gradient(*log_w, *scores, nu)
    before, with_their_trace, step_4 = _gradients(e, theta)
    # log(νw + 1) at the exercise's size, for images of white noise: w itself leaves float64.
    large = example(28, 28, noise_precision=1.0)
    large_log_w = large.log_weights(large.theta)[1]
    large_truth = -correct.log_posterior(0, large.noise, large.precision(large.theta), large.noise_precision, nu)
    overflown = tf.math.log(nu * tf.exp(large_log_w) + 1)
    return [
        _row("The objective; Step 4", "minimise $J$", "minimise $-J$", DIFFERENCES, -slope, -gradient, gradient),
        _row(r"$J$ with $p_\theta$ factored out", r"$-\nu\log(\nu Z_\theta/Z_n)$", r"$+\nu\log(\nu Z_\theta/Z_n)$",
             DEFINITION, truth, model_factored, wrong_sign),
        _row("The average of the two forms", "a third expression", r"the same number $J$",
             DEFINITION, truth, objective, average),
        _row("$w(x)$, Step 2", r"$\exp(x^T(\Lambda_n-\Lambda_\theta)x)$",
             r"$\exp(\frac12x^T(\Lambda_\theta-\Lambda_n)x)$", DEFINITION,
             ratio, log_w[1], _log_odds(e, theta)[1] - math.log(nu)),
        _row("Step 3: first term", r"$\frac{\nu}{M}\sum_j x_j'^T(\Lambda_n-\Lambda_\theta)x_j'$",
             r"$\frac{\nu}{2M}\sum_j x_j'^T(\Lambda_\theta-\Lambda_n)x_j'$", DEFINITION,
             first_term, -0.5 * their_first_term, their_first_term),
        _row("Step 3: the constant", r"$-\frac\nu2\log(\nu^2\det\Lambda_n/\det\Lambda_\theta)$",
             r"$+\frac\nu2\log(\nu^2\det\Lambda_n/\det\Lambda_\theta)$", DEFINITION,
             nu * constant, nu * _constant(e, theta), -nu * _constant(e, theta)),
        _row("Step 3: $J$ as a whole", "the three together", "the three corrected", DEFINITION,
             truth, objective, their_objective),
        _row(r"$\partial J/\partial\theta_k$ before Step 4", "derivative of the $J$ above",
             "derivative of the corrected $J$", DIFFERENCES, slope, gradient, before),
        _row("From there to Step 4: noise", r"$-\frac{\nu}{M}\sum_j(\frac{w}{\nu w+1}-1)$",
             r"$+\frac{\nu}{M}\sum_j(\frac{\nu w}{\nu w+1}-1)$", OF_THEIRS,
             their_slope, before, step_4 + before - with_their_trace),
        _row("From there to Step 4: trace", r"$\nu+\frac1N\sum_i\frac{w}{\nu w+1}+\frac{\nu}{M}\sum_j\cdots$",
             r"$\nu+\frac{\nu}{N}\sum_i\frac{w}{\nu w+1}+\frac{\nu^2}{M}\sum_j\cdots$", OF_THEIRS,
             their_slope, before, with_their_trace),
        _row("Step 4 as a whole", "all of these together", r"$\partial J/\partial\theta_k$ of the text", DIFFERENCES,
             slope, gradient, step_4),
        _row(r"Steps 2 and 3, $D=784$", r"form $w(x)$, then $\log(\nu w+1)$", r"$\mathrm{softplus}(\log\nu+\log w)$",
             DEFINITION, large_truth, tf.nn.softplus(math.log(nu) + large_log_w), overflown),
    ]  # fmt: skip


def _row(where, as_written, right, reference, truth, ours, theirs):
    words = {"where": where, "as_written": as_written, "correct": right, "reference": reference}
    return words | {"ours": _deviation(ours, truth), "theirs": _deviation(theirs, truth)}


def _deviation(value, truth):
    """The largest deviation from the truth, relative to the largest of its numbers; None if it is not finite."""
    deviation = np.max(np.abs(value - truth)) / np.max(np.abs(truth))
    return float(deviation) if np.isfinite(deviation) else None


def answers() -> dict[str, float]:
    """The notes' open questions in numbers, as a dict of floats: relative deviations, but for `curl_*`.

    `forms_differ`: between the two forms of J. `curl_*`: the largest entry of ∂_l(Σ∂_kΛ) − ∂_k(Σ∂_lΛ) over the largest
    of the products. From finite differences: `curl_by_differences`; `trace`, of tr(Σ∂Λ) from ∂ log det Λ;
    `logarithm`, of Σ∂Λ from ∂ log Λ for four neighbours with shared weights; `jacobian`, of ∇Λ in one go.
    """
    e = example()
    theta, precision = e.theta, e.precision(e.theta)
    log_w = e.log_weights(theta)
    forms = correct.objective_noise_factored(*log_w, e.nu), correct.objective_model_factored(*log_w, e.nu)
    traces = correct.central_differences(lambda t: correct.log_determinant(e.precision(t)), theta)
    logarithms = correct.central_differences(lambda t: correct.matrix_logarithm(e.precision(t)), theta)
    assembled = correct.central_differences(lambda t: e.layer.operator(t).to_dense(), theta)
    eight = example(connectivity=8)
    # ∂_l(Σ∂_kΛ), [k, l, D, D].
    mixed = tf.transpose(correct.central_differences(lambda t: _products(eight, t), eight.theta), [2, 3, 0, 1])
    curl = correct.curl(eight.precision(eight.theta), eight.derivative)
    return {
        "forms_differ": _deviation(*forms),
        "curl_shared_4": _curl(e),
        "curl_per_edge_4": _curl(example(weights="per_edge")),
        "curl_shared_8": _curl(eight),
        "curl_by_differences": _deviation(curl, mixed - tf.transpose(mixed, [1, 0, 2, 3])),
        "trace": _deviation(correct.trace_derivatives(precision, e.derivative), traces),
        "logarithm": _deviation(_products(e, theta), logarithms),
        "jacobian": _deviation(e.derivative, assembled),
    }


def _products(e, theta):
    """Σ∂_kΛ, [D, D, P]."""
    return tf.einsum("ij,jlk->ilk", tf.linalg.inv(e.precision(theta)), e.derivative)


def _curl(e):
    largest = tf.reduce_max(tf.abs(_products(e, e.theta)))
    return float(tf.reduce_max(tf.abs(correct.curl(e.precision(e.theta), e.derivative))) / largest**2)
