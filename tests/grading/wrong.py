"""Deliberately wrong solutions: the dense solution with one error each, the points it costs, and what is said of it.

`tests/test_grading.py` puts each together with the rest, grades it, and holds it to the items that it must lose and to
the sentence that it must be told.
"""

from types import SimpleNamespace

import adapters as right
import numpy as np
from scipy import optimize

ERRORS = {}
ALL = set(vars(right))
LOG_2PI = np.log(2 * np.pi)
FITS, LEARNED = "training_on_lattice training_on_digits training", "learned_on_lattice learned_on_digits"
SECOND = "second_training_positive_definite second_training_on_digits"
softplus = right.softplus


def wrong(error, lost, told, reached=(), **changed):
    """One error.

    Args:
      lost: the items that it must lose, with blanks between them.
      told: words of the first sentence that it must be told.
      reached: the functions of adapters.py whose answers it changes, where the error is in a helper of theirs.
      changed: what stands in the place of the dense solution's function of that name; with `reached`, everywhere.
    """
    ERRORS[error] = SimpleNamespace(
        lost=set(lost.split()), told=told, reached=reached or changed, everywhere=bool(reached), changed=changed
    )


def given(function, **changes):
    """The function, but with changed arguments: each has a new value, or is a function of the right one."""

    def changed(**named):
        new = {name: change(named[name]) if callable(change) else change for name, change in changes.items()}
        return function(**named | new)

    return changed


def after(function, change):
    """The function, but with a changed result."""

    def changed(**named):
        result = function(**named)
        return change(*result) if isinstance(result, tuple) else change(result)

    return changed


# Data.


def data(error, lost, told, make):
    """`preprocess` with make(8-bit images, generator) for the scaled images with their noise."""

    def preprocess(train, test, seed):
        random = np.random.default_rng(seed)
        train, test = (make(images, random) for images in (train, test))
        mean = train.mean(axis=0)
        return train - mean, test - mean, mean

    wrong(error, lost, told, preprocess=preprocess)


def noise(images, random, deviation=0.1):
    return random.normal(0, deviation, images.shape)


def as_seeded(random):
    """The generator as it was at its start."""
    return np.random.default_rng(random.bit_generator.seed_seq)


data("pixels not scaled", "scale", "must be 1 after", lambda x, r: x + noise(x, r))
data("divided by 256", "scale", "divide by 255", lambda x, r: x / 256 + noise(x, r))
data("noise before scaling", "noise_variance", "before the division", lambda x, r: (x + noise(x, r)) / 255)
data("variance for deviation", "noise_variance", "a standard deviation", lambda x, r: x / 255 + noise(x, r, 0.01))
width = 0.03**0.5
data("uniform noise", "noise_variance", "must be normal", lambda x, r: x / 255 + r.uniform(-width, width, x.shape))
data("cut off at 0 and 1", "noise_variance", "cut off at", lambda x, r: np.clip(x / 255 + noise(x, r), 0, 1))
data("noise repeated", "noise_independence", "each split", lambda x, r: x / 255 + noise(x, as_seeded(r)))
unseeded = given(right.preprocess, seed=0)
wrong("seed ignored", "noise_independence", "`seed` is ignored", preprocess=unseeded)
not_subtracted = after(right.preprocess, lambda train, test, mean: (train + mean, test + mean, mean))
wrong("mean not subtracted", "train_mean test_mean", "must be zero at every pixel", preprocess=not_subtracted)
of_each = after(right.preprocess, lambda train, test, mean: (train, test - test.mean(0), mean))
wrong("mean of each split", "test_mean", "one μ", preprocess=of_each)
no_mean = after(right.preprocess, lambda train, test, mean: (train, test))
wrong("mean not returned", "train_mean", "returned no mean", preprocess=no_mean)

# Model.


def rolled_matrix(diagonal, couplings, height, width):
    pixels, ones = np.arange(height * width).reshape(height, width), np.ones((height, width))
    matrix = np.diag((diagonal * ones).ravel())
    for offset, coupling in zip(right.NEIGHBOURS, couplings, strict=False):
        neighbours = np.roll(pixels, [-step for step in offset], axis=(0, 1))
        np.add.at(matrix, (pixels, neighbours), coupling * ones)
        np.add.at(matrix, (neighbours, pixels), coupling * ones)
    return matrix


def of_matrix(compute):
    """A function of Λ alone."""
    return lambda **named: compute(right.precision_matrix(**named))


def half_the_edges(diagonal, couplings, images, form=right.quadratic_form):
    return form(diagonal, couplings / 2, images)


swapped = given(right.precision_matrix, couplings=lambda c: c[[1, 0, *range(2, len(c))]])
of_both = {"precision_matrix", "quadratic_form"}
wrong("directions swapped", "matrix_shared", "Right and down", precision_matrix=swapped)
down_first = [(1, 0), (0, 1), *right.NEIGHBOURS[2:]]
wrong("directions swapped everywhere", "matrix_shared", "Right and down", ALL, NEIGHBOURS=down_first)
wrong("edges across the border", "matrix_shared", "border across", of_both, precision_matrix=rolled_matrix)
wrong("edges counted once", "quadratic_form_shared", "An edge counts twice", quadratic_form=half_the_edges)
lost = f"quadratic_form_shared training_on_digits {LEARNED}"
wrong("edges counted once everywhere", lost, "An edge counts twice", ALL, quadratic_form=half_the_edges)
for shortcut, said, definite in (
    ("determinant", "a determinant's sign", lambda matrix: np.linalg.slogdet(matrix)[0] > 0),
    ("dominance", "need not be", lambda matrix: (2 * np.diag(matrix) > np.abs(matrix).sum(axis=1)).all()),
):
    error = f"positive definite by {shortcut}"
    wrong(error, "positive_definite", said, is_positive_definite=of_matrix(definite))

# NCE.


def density(error, lost, told, of_squares_pixels_and_variance):
    """`noise_log_density` from Σ x²/variance [N], D and the variances."""

    def noise_log_density(images, variance):
        return -0.5 * of_squares_pixels_and_variance((images**2 / variance).sum(axis=(1, 2)), variance.size, variance)

    wrong(error, lost, told, noise_log_density=noise_log_density)


def loss(of_log_ratios):
    """`nce_loss` from the two sets of log-ratios, ν and log ν."""

    def nce_loss(diagonal, couplings, log_partition, data, noise, data_log_noise, noise_log_noise, noise_ratio):
        sets = (data, data_log_noise), (noise, noise_log_noise)
        ratios = [right.log_ratio(diagonal, couplings, log_partition, *of) for of in sets]
        return of_log_ratios(*ratios, noise_ratio, np.log(noise_ratio))

    return nce_loss


def nu_twice(function):
    """½xᵀΛx + c + log ν in the place of ½xᵀΛx + c."""
    return lambda log_partition, noise_ratio, **named: function(
        log_partition=log_partition + np.log(noise_ratio), noise_ratio=noise_ratio, **named
    )


def nu_from_numbers(**named):
    return right.nce_loss(**named | {"noise_ratio": len(named["noise"]) / len(named["data"])})


def train_against_fixed_noise(estimator, images, connectivity, seed):
    """NCE against a diagonal noise that stays where it is, until nothing is left to learn."""
    if estimator == "second":
        return right.train(estimator, images, connectivity, seed)
    variance = np.full(images.shape[1:], images.var())
    noise = np.random.default_rng(seed).normal(size=images.shape) * np.sqrt(variance)
    log_noise = [right.noise_log_density(x, variance) for x in (images, noise)]

    def loss_and_gradient(weights):
        arguments = weights[0], weights[1:-1], weights[-1], images, noise, *log_noise, 1.0
        return right.nce_loss(*arguments), np.hstack(right.nce_gradient(*arguments))

    start = np.r_[1 / images.var(), np.zeros(connectivity // 2), 0.5 * np.log(2 * np.pi * variance).sum()]
    weights = optimize.minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B").x
    return weights[0], weights[1:-1], weights[-1]


density("log p_n with log 2π once", "noise_density", "not once", lambda s, D, v: s + LOG_2PI + np.log(v).sum())
density("log p_n without 2π", "noise_density", "½ D log 2π is missing", lambda s, D, v: s + np.log(v).sum())
underflows = "noise_density_large", "product of the variances"
density("determinant underflows", *underflows, lambda s, D, v: s + D * LOG_2PI + np.log(np.prod(v)))
both = right.nce_loss, right.nce_gradient
negative_loss, negative_gradient = after(both[0], np.negative), after(both[1], lambda *parts: [-part for part in parts])
wrong("sign of J", "loss", "J is maximised", nce_loss=negative_loss)
wrong("sign of the gradient", "gradient", "wrong sign for a loss", nce_gradient=negative_gradient)
both = {"nce_loss": negative_loss, "nce_gradient": negative_gradient}
wrong("sign of J and of its gradient", "loss", "J is maximised", **both)
doubled = {"diagonal": lambda d: 2 * d, "couplings": lambda c: 2 * c}
both = {name: given(getattr(right, name), **doubled) for name in both}
both["nce_gradient"] = after(both["nce_gradient"], lambda *parts: [2 * parts[0], 2 * parts[1], parts[2]])
wrong("½ missing in log p_θ", "loss", "½ is missing: log p_θ", **both)
turned = loss(lambda x, y, nu, log_nu: softplus(log_nu + x).mean() + nu * softplus(-y - log_nu).mean())
wrong("sign of the log-ratio", "loss", "log-ratio's sign", nce_loss=turned)
sums = loss(lambda x, y, nu, log_nu: softplus(log_nu - x).sum() + nu * softplus(y - log_nu).sum())
wrong("sums for means", "loss", "sum over the images", nce_loss=sums)
wrong("c ignored", "loss", "c, the free constant, is not in", nce_loss=given(right.nce_loss, log_partition=0.0))
wrong("sign of c", "loss", "c enters with the wrong", nce_loss=given(right.nce_loss, log_partition=np.negative))
constant = after(right.nce_gradient, lambda by_diagonal, by_couplings, by_c: (by_diagonal, by_couplings, 0.0))
wrong("c not learned", "gradient", "log Z: it is 0", nce_gradient=constant)
both = {name: given(getattr(right, name), noise_ratio=1.0) for name in both}
wrong("ν dropped", "loss_noise_ratio", "ν is left out", **both)
wrong("ν from the numbers of images", "loss", "taken to be M/N", nce_loss=nu_from_numbers)
both = {name: nu_twice(getattr(right, name)) for name in both}
wrong("ν twice", "loss_noise_ratio", "ν is applied twice", **both)
wrong("exp overflows", "loss_stable", "exp overflows", {"nce_loss"}, softplus=lambda t: np.log(1 + np.exp(t)))
cut_off = {"softplus": lambda t: np.log(1 + np.exp(np.clip(t, -50, 50)))}
wrong("cut-off", "loss_stable", "a cut-off", {"nce_loss"}, **cut_off)
lost, told = "training_on_digits learned_on_digits", "how well the classifier tells"
wrong("noise that stays", lost, told, train=train_against_fixed_noise)
lost, told = f"{FITS} {LEARNED} {SECOND}", "couplings, returned None"
wrong("couplings missing", lost, told, train=lambda images, **_: (1 / images.var(), None, 0.0))

# log Z.


def log_z(error, told, change):
    """`log_partition` from the right one and D."""

    def log_partition(**named):
        return change(right.log_partition(**named), named["height"] * named["width"])

    wrong(error, "exact_shared", told, log_partition=log_partition)


log_z("log Z as ½ log(2π·det Σ)", "D times, not once", lambda log_z, D: log_z - 0.5 * (D - 1) * LOG_2PI)
log_z("sign of log det Σ", "the other way round", lambda log_z, D: D * LOG_2PI - log_z)
signless = of_matrix(lambda matrix: 0.5 * (len(matrix) * LOG_2PI - np.linalg.slogdet(matrix)[1]))
wrong("sign of the determinant ignored", "refused", "An indefinite Λ has no log Z", log_partition=signless)

# The second estimator.


def conditional(error, lost, told, loss):
    """`second_loss` from f(x') − f(x) with f = −½xᵀΛx."""

    def second_loss(diagonal, couplings, images, perturbed):
        forms = [right.quadratic_form(diagonal, couplings, x) for x in (images, perturbed)]
        return loss(0.5 * (forms[0] - forms[1])).mean()

    wrong(error, lost, told, second_estimator=lambda: "conditional_nce", second_loss=second_loss)


def trace_over_pixels(diagonal, couplings, images, perturbed):
    trace = np.trace(right.precision_matrix(diagonal, couplings, *images.shape[1:]))
    return right.second_loss(diagonal, couplings, images, perturbed) + trace - trace / images[0].size


def train_by_plain_score_matching(estimator, images, connectivity, seed):
    """In closed form, and nobody looks whether Λ is positive definite."""
    if estimator == "nce":
        return right.train(estimator, images, connectivity, seed)
    flat = images.reshape(len(images), -1)
    moments = flat.T @ flat / len(flat)
    units = np.eye(1 + connectivity // 2)
    stencils = [right.precision_matrix(unit[0], unit[1:], *images.shape[1:]) for unit in units]
    left = [[np.sum(a * (moments @ b)) for a in stencils] for b in stencils]
    theta = np.linalg.solve(left, [np.trace(a) for a in stencils])
    return theta[0], theta[1:], None


conditional("conditional NCE overflows", "loss_large", "exp overflows", lambda gain: np.log(1 + np.exp(gain)))
perturbed = "conditional NCE prefers the perturbed"
conditional(perturbed, "loss_shared", "prefers the perturbed", lambda gain: softplus(-gain))
wrong("trace divided by D", "loss_shared", "divided by D", second_loss=trace_over_pixels)
wrong("indefinite fit", SECOND, "negative eigenvalues", train=train_by_plain_score_matching)

# Samples.


def root(error, lost, told, factor):
    """`sample` with x' = μ + Aε and A = factor(Λ)."""

    def sample(diagonal, couplings, mean, epsilon):
        matrix = factor(right.precision_matrix(diagonal, couplings, *mean.shape))
        return mean + (epsilon.reshape(len(epsilon), -1) @ matrix.T).reshape(epsilon.shape)

    wrong(error, lost, told, sample=sample)


def square_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


root("root not inverted", "covariance", "the inverse root", square_root)
told = "a sample is L⁻ᵀε; L⁻¹ε has another"
root("L⁻¹ε for L⁻ᵀε", "covariance symmetric_root", told, lambda matrix: np.linalg.inv(np.linalg.cholesky(matrix)))
wrong("samples without the mean", "mean", "must be the mean image", sample=given(right.sample, mean=np.zeros_like))
