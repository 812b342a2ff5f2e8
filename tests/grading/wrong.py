"""Deliberately wrong solutions: the dense solution with one error each, the points it costs, and what is said of it.

`tests/test_grading.py` puts each together with the rest, grades it, and holds it to the items that it must lose and to
the sentence that it must be told.
"""

import numpy as np
import solution as right


class Wrong:
    """One error.

    Args:
      lost: the items that it must lose, with blanks between them.
      told: words of the first sentence that it must be told.
      reached: the functions of adapters.py whose answers it changes, where the error is in a helper of theirs.
      changed: what stands in the place of the dense solution's function of that name; with `reached`, everywhere.
    """

    def __init__(self, lost, told, reached=(), **changed):
        self.lost, self.told, self.changed = set(lost.split()), told, changed
        self.reached, self.everywhere = reached or changed, bool(reached)


def functions(error):
    """{name: function} of an adapters.py with this error; a helper of the module `solution` is changed there, too."""
    wrong = ERRORS[error]
    if wrong.everywhere:
        vars(right).update(wrong.changed)
    return wrong.changed


def given(name, **changes):
    """The right function, but with changed arguments."""
    function = getattr(right, name)
    return lambda **named: function(**named | {key: change(named[key]) for key, change in changes.items()})


def after(name, change):
    """The right function, but with a changed result."""
    function = getattr(right, name)

    def changed(**named):
        result = function(**named)
        return change(*result) if isinstance(result, tuple) else change(result)

    return changed


def preprocess(noisy):
    """`preprocess` with noisy(8-bit images, generator) for the scaled images with their noise."""

    def of_both_splits(train, test, seed):
        random = np.random.default_rng(seed)
        train, test = (noisy(images, random) for images in (train, test))
        mean = train.mean(axis=0)
        return train - mean, test - mean, mean

    return of_both_splits


def noise(images, random, deviation=0.1):
    return random.normal(0, deviation, images.shape)


def as_seeded(random):
    """The generator as it was at its start."""
    return np.random.default_rng(random.bit_generator.seed_seq)


def log_density(of_squares_pixels_and_variance):
    """`noise_log_density` from Σ x²/variance [N], D and the variances."""
    return lambda images, variance: of_squares_pixels_and_variance(
        (images**2 / variance).sum(axis=(1, 2)), variance.size, variance
    )


def loss(of_log_ratios):
    """`nce_loss` from the two sets of log-ratios and log ν."""

    def nce_loss(diagonal, couplings, log_partition, data, noise, data_log_noise, noise_log_noise, noise_ratio):
        sets = (data, data_log_noise), (noise, noise_log_noise)
        ratios = [right.log_ratio(diagonal, couplings, log_partition, *of) for of in sets]
        return of_log_ratios(*ratios, np.log(noise_ratio))

    return nce_loss


def with_nu_twice(name):
    """½xᵀΛx + c + log ν in the place of ½xᵀΛx + c."""
    return lambda log_partition, noise_ratio, **named: getattr(right, name)(
        log_partition=log_partition + np.log(noise_ratio), noise_ratio=noise_ratio, **named
    )


def conditional_nce(loss):
    """`second_loss` from f(x') − f(x) with f = −½xᵀΛx."""
    form = right.quadratic_form
    return lambda diagonal, couplings, images, perturbed: loss(
        0.5 * (form(diagonal, couplings, images) - form(diagonal, couplings, perturbed))
    ).mean()


def trace_over_pixels(diagonal, couplings, images, perturbed):
    trace = np.trace(right.precision_matrix(diagonal, couplings, *images.shape[1:]))
    return right.second_loss(diagonal, couplings, images, perturbed) + trace - trace / images[0].size


def rolled_matrix(diagonal, couplings, height, width):
    pixels = np.arange(height * width).reshape(height, width)
    matrix = np.diag((diagonal * np.ones((height, width))).ravel())
    for offset, coupling in zip(right.NEIGHBOURS, couplings, strict=False):
        neighbours = np.roll(pixels, [-step for step in offset], axis=(0, 1))
        values = (coupling * np.ones((height, width))).ravel()
        matrix[pixels.ravel(), neighbours.ravel()] += values
        matrix[neighbours.ravel(), pixels.ravel()] += values
    return matrix


def of_matrix(compute):
    """A function of Λ alone."""
    return lambda **named: compute(right.precision_matrix(**named))


def with_pixels(change):
    """`log_partition` from the right one and D."""
    return lambda **named: change(right.log_partition(**named), named["height"] * named["width"])


def samples_by(factor):
    """`sample` with x' = μ + Aε and A = factor(Λ)."""

    def sample(diagonal, couplings, mean, epsilon):
        root = factor(right.precision_matrix(diagonal, couplings, *mean.shape))
        return mean + (epsilon.reshape(len(epsilon), -1) @ root.T).reshape(epsilon.shape)

    return sample


def square_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


def train_against_fixed_noise(estimator, images, connectivity, seed):
    """NCE by Newton's method against a diagonal noise that stays where it is, until nothing is left to learn."""
    if estimator == "second":
        return right.train(estimator, images, connectivity, seed)
    variance = np.full(images.shape[1:], images.var())
    noise = np.random.default_rng(seed).normal(size=images.shape) * np.sqrt(variance)
    log_noise = [right.noise_log_density(x, variance) for x in (images, noise)]
    directions = connectivity // 2
    every_score = np.concatenate([right.scores(x, directions) for x in (images, noise)])
    unit = every_score[len(images) :].std(axis=0)
    unit[-1] = 1.0
    weights = np.r_[1 / images.var(), np.zeros(directions), 0.5 * np.log(2 * np.pi * variance).sum()]
    for _ in range(30):
        pairs = zip((images, noise), log_noise, strict=True)
        ratios = [right.log_ratio(weights[0], weights[1:-1], weights[-1], *pair) for pair in pairs]
        doubt = right.sigmoid(np.concatenate(ratios)) * right.sigmoid(-np.concatenate(ratios))
        gradient = np.hstack(right.nce_gradient(weights[0], weights[1:-1], weights[-1], images, noise, *log_noise, 1.0))
        scaled = every_score / unit
        curvature = (scaled * doubt[:, None]).T @ scaled / len(images) + 1e-4 * np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient / unit)
        weights -= step / unit / max(1, np.abs(step).max())
    return weights[0], weights[1:-1], weights[-1]


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


LOG_2PI = np.log(2 * np.pi)
ALL = set(vars(right))
FITS, LEARNED = "training_on_lattice training_on_digits training", "learned_on_lattice learned_on_digits"
SECOND = "second_training_positive_definite second_training_on_digits"
softplus = right.softplus


ERRORS = {
    # Data.
    "pixels not scaled": Wrong("scale", "must be 1 after", preprocess=preprocess(lambda x, r: x + noise(x, r))),
    "divided by 256": Wrong("scale", "divide by 255", preprocess=preprocess(lambda x, r: x / 256 + noise(x, r))),
    "noise before scaling": Wrong(
        "noise_variance", "before the division", preprocess=preprocess(lambda x, r: (x + noise(x, r)) / 255)
    ),
    "variance for deviation": Wrong(
        "noise_variance", "a variance or a standard", preprocess=preprocess(lambda x, r: x / 255 + noise(x, r, 0.01))
    ),
    "uniform noise": Wrong(
        "noise_variance",
        "must be normal",
        preprocess=preprocess(lambda x, r: x / 255 + r.uniform(-(0.03**0.5), 0.03**0.5, x.shape)),
    ),
    "cut off at 0 and 1": Wrong(
        "noise_variance", "cut off at", preprocess=preprocess(lambda x, r: np.clip(x / 255 + noise(x, r), 0, 1))
    ),
    "noise repeated": Wrong(
        "noise_independence", "each split", preprocess=preprocess(lambda x, r: x / 255 + noise(x, as_seeded(r)))
    ),
    "seed ignored": Wrong(
        "noise_independence", "`seed` is ignored", preprocess=given("preprocess", seed=lambda seed: 0)
    ),
    "mean not subtracted": Wrong(
        "train_mean test_mean",
        "must be zero at every pixel",
        preprocess=after("preprocess", lambda train, test, mean: (train + mean, test + mean, mean)),
    ),
    "mean of each split": Wrong(
        "test_mean",
        "one μ",
        preprocess=after("preprocess", lambda train, test, mean: (train, test - test.mean(0), mean)),
    ),
    "mean not returned": Wrong(
        "train_mean", "returned no mean", preprocess=after("preprocess", lambda train, test, mean: (train, test))
    ),
    # Model.
    "directions swapped": Wrong(
        "matrix_shared",
        "Right and down",
        precision_matrix=given("precision_matrix", couplings=lambda c: c[[1, 0, *range(2, len(c))]]),
    ),
    "directions swapped everywhere": Wrong(
        "matrix_shared", "Right and down", ALL, NEIGHBOURS=[(1, 0), (0, 1), *right.NEIGHBOURS[2:]]
    ),
    "edges across the border": Wrong(
        "matrix_shared", "border across", {"precision_matrix", "quadratic_form"}, precision_matrix=rolled_matrix
    ),
    "edges counted once": Wrong(
        "quadratic_form_shared",
        "An edge counts twice",
        quadratic_form=given("quadratic_form", couplings=lambda c: c / 2),
    ),
    "edges counted once everywhere": Wrong(
        f"quadratic_form_shared training_on_digits {LEARNED}",
        "An edge counts twice",
        ALL,
        quadratic_form=lambda diagonal, couplings, images, form=right.quadratic_form: form(
            diagonal, couplings / 2, images
        ),
    ),
    "positive definite by determinant": Wrong(
        "positive_definite",
        "a determinant's sign",
        is_positive_definite=of_matrix(lambda matrix: np.linalg.slogdet(matrix)[0] > 0),
    ),
    "positive definite by dominance": Wrong(
        "positive_definite",
        "need not be diagonally dominant",
        is_positive_definite=of_matrix(lambda matrix: (2 * np.diag(matrix) > np.abs(matrix).sum(axis=1)).all()),
    ),
    # NCE.
    "log p_n with log 2π once": Wrong(
        "noise_density",
        "D times, not once",
        noise_log_density=log_density(lambda squares, D, variance: -0.5 * (squares + LOG_2PI + np.log(variance).sum())),
    ),
    "log p_n without 2π": Wrong(
        "noise_density",
        "½ D log 2π is missing",
        noise_log_density=log_density(lambda squares, D, variance: -0.5 * (squares + np.log(variance).sum())),
    ),
    "determinant underflows": Wrong(
        "noise_density_large",
        "product of the variances",
        noise_log_density=log_density(
            lambda squares, D, variance: -0.5 * (squares + D * LOG_2PI + np.log(np.prod(variance)))
        ),
    ),
    "sign of J": Wrong("loss", "J is maximised", nce_loss=after("nce_loss", np.negative)),
    "sign of the gradient": Wrong(
        "gradient",
        "wrong sign for a loss",
        nce_gradient=after("nce_gradient", lambda *parts: [-part for part in parts]),
    ),
    "sign of J and of its gradient": Wrong(
        "loss",
        "J is maximised",
        nce_loss=after("nce_loss", np.negative),
        nce_gradient=after("nce_gradient", lambda *parts: [-part for part in parts]),
    ),
    "½ missing in log p_θ": Wrong(
        "loss",
        "½ is missing: log p_θ",
        nce_loss=given("nce_loss", diagonal=lambda d: 2 * d, couplings=lambda c: 2 * c),
        nce_gradient=lambda **named: [
            2 * part if k < 2 else part
            for k, part in enumerate(
                given("nce_gradient", diagonal=lambda d: 2 * d, couplings=lambda c: 2 * c)(**named)
            )
        ],
    ),
    "sign of the log-ratio": Wrong(
        "loss",
        "log-ratio's sign",
        nce_loss=loss(lambda x, y, log_nu: softplus(log_nu + x).mean() + np.exp(log_nu) * softplus(-y - log_nu).mean()),
    ),
    "sums for means": Wrong(
        "loss",
        "sum over the images",
        nce_loss=loss(lambda x, y, log_nu: softplus(log_nu - x).sum() + np.exp(log_nu) * softplus(y - log_nu).sum()),
    ),
    "c ignored": Wrong(
        "loss", "c, the free constant, is not in", nce_loss=given("nce_loss", log_partition=lambda c: 0.0)
    ),
    "sign of c": Wrong("loss", "c enters with the wrong", nce_loss=given("nce_loss", log_partition=np.negative)),
    "c not learned": Wrong(
        "gradient", "log Z: it is 0", nce_gradient=after("nce_gradient", lambda by_d, by_k, by_c: (by_d, by_k, 0.0))
    ),
    "ν dropped": Wrong(
        "loss_noise_ratio",
        "ν is left out",
        nce_loss=given("nce_loss", noise_ratio=lambda nu: 1.0),
        nce_gradient=given("nce_gradient", noise_ratio=lambda nu: 1.0),
    ),
    "ν from the numbers of images": Wrong(
        "loss",
        "taken to be M/N",
        nce_loss=lambda **named: right.nce_loss(**named | {"noise_ratio": len(named["noise"]) / len(named["data"])}),
    ),
    "ν twice": Wrong(
        "loss_noise_ratio",
        "ν is applied twice",
        nce_loss=with_nu_twice("nce_loss"),
        nce_gradient=with_nu_twice("nce_gradient"),
    ),
    "exp overflows": Wrong("loss_stable", "exp overflows", {"nce_loss"}, softplus=lambda t: np.log(1 + np.exp(t))),
    "cut-off": Wrong(
        "loss_stable", "a cut-off", {"nce_loss"}, softplus=lambda t: np.log(1 + np.exp(np.clip(t, -50, 50)))
    ),
    "noise that stays": Wrong(
        "training_on_digits learned_on_digits", "how well the classifier tells", train=train_against_fixed_noise
    ),
    "couplings missing": Wrong(
        f"{FITS} {LEARNED} {SECOND}",
        "couplings, returned None",
        train=lambda images, **_: (1 / images.var(), None, 0.0),
    ),
    # log Z.
    "log Z as ½ log(2π·det Σ)": Wrong(
        "exact_shared", "D times, not once", log_partition=with_pixels(lambda log_z, D: log_z - 0.5 * (D - 1) * LOG_2PI)
    ),
    "sign of log det Σ": Wrong(
        "exact_shared", "the other way round", log_partition=with_pixels(lambda log_z, D: D * LOG_2PI - log_z)
    ),
    "sign of the determinant ignored": Wrong(
        "refused",
        "An indefinite Λ has no log Z",
        log_partition=of_matrix(lambda matrix: 0.5 * (len(matrix) * LOG_2PI - np.linalg.slogdet(matrix)[1])),
    ),
    # The second estimator.
    "conditional NCE overflows": Wrong(
        "loss_large",
        "exp overflows",
        second_estimator=lambda: "conditional_nce",
        second_loss=conditional_nce(lambda gain: np.log(1 + np.exp(gain))),
    ),
    "conditional NCE prefers the perturbed": Wrong(
        "loss_shared",
        "prefers the perturbed",
        second_estimator=lambda: "conditional_nce",
        second_loss=conditional_nce(lambda gain: softplus(-gain)),
    ),
    "trace divided by D": Wrong("loss_shared", "divided by D", second_loss=trace_over_pixels),
    "indefinite fit": Wrong(SECOND, "negative eigenvalues", train=train_by_plain_score_matching),
    # Samples.
    "root not inverted": Wrong("covariance", "the inverse root", sample=samples_by(square_root)),
    "L⁻¹ε for L⁻ᵀε": Wrong(
        "covariance symmetric_root",
        "a sample is L⁻ᵀε; L⁻¹ε has another",
        sample=samples_by(lambda matrix: np.linalg.inv(np.linalg.cholesky(matrix))),
    ),
    "samples without the mean": Wrong(
        "mean", "must be the mean image", sample=given("sample", mean=lambda mean: 0 * mean)
    ),
}
