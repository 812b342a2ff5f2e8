"""A second correct solution, dense, by NumPy and SciPy, which shares no line with the package.

The package's adapters.py explains each signature.
"""

from pathlib import Path

import numpy as np
from scipy import linalg, optimize
from scipy.special import expit as sigmoid

NEIGHBOURS = [(0, 1), (1, 0), (1, 1), (1, -1)]
TRUST = 0.8  # the longest Newton step, in nats of spread
STAGES = 30


def preprocess(train, test, seed):
    generator = np.random.default_rng(seed)
    noisy = [images / 255.0 + 0.1 * generator.standard_normal(images.shape) for images in (train, test)]
    mean = noisy[0].mean(axis=0)
    return noisy[0] - mean, noisy[1] - mean, mean


def precision_matrix(diagonal, couplings, height, width):
    diagonal = np.broadcast_to(diagonal, (height, width))
    matrix = np.diag(diagonal.ravel().astype(float))
    couplings = np.asarray(couplings, float)
    if couplings.ndim == 1:
        couplings = couplings[:, None, None] * np.ones((height, width))
    row, column = np.divmod(np.arange(height * width), width)
    for (down, right), coupling in zip(NEIGHBOURS, couplings, strict=False):
        inside = (row + down < height) & (0 <= column + right) & (column + right < width)
        first = np.flatnonzero(inside)
        second = (row[first] + down) * width + column[first] + right
        matrix[first, second] = matrix[second, first] = coupling.ravel()[first]
    return matrix


def quadratic_form(diagonal, couplings, images):
    matrix = precision_matrix(diagonal, couplings, *images.shape[1:])
    flat = images.reshape(len(images), -1)
    return ((flat @ matrix) * flat).sum(axis=1)


def is_positive_definite(diagonal, couplings, height, width):
    return bool(np.linalg.eigvalsh(precision_matrix(diagonal, couplings, height, width)).min() > 0)


def log_partition(diagonal, couplings, height, width):
    values = np.linalg.eigvalsh(precision_matrix(diagonal, couplings, height, width))
    if values.min() <= 0:
        raise ValueError("Λ is not positive definite")
    return 0.5 * (len(values) * np.log(2 * np.pi) - np.log(values).sum())


def sample(diagonal, couplings, mean, epsilon):
    values, vectors = np.linalg.eigh(precision_matrix(diagonal, couplings, *mean.shape))
    root = (vectors / np.sqrt(values)) @ vectors.T
    return mean + (epsilon.reshape(len(epsilon), -1) @ root).reshape(epsilon.shape)


def noise_log_density(images, variance):
    pixels = images[0].size
    squares = (images**2 / variance).sum(axis=(1, 2))
    return -0.5 * (squares + pixels * np.log(2 * np.pi) + np.log(variance).sum())


def log_ratio(diagonal, couplings, constant, images, log_noise):
    """G = log p_θ − log p_n."""
    return -0.5 * quadratic_form(diagonal, couplings, images) - constant - log_noise


def softplus(t):
    return np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t)))


def nce_loss(diagonal, couplings, log_partition, data, noise, data_log_noise, noise_log_noise, noise_ratio):
    data_ratio = log_ratio(diagonal, couplings, log_partition, data, data_log_noise)
    other_ratio = log_ratio(diagonal, couplings, log_partition, noise, noise_log_noise)
    log_nu = np.log(noise_ratio)
    return softplus(log_nu - data_ratio).mean() + noise_ratio * softplus(other_ratio - log_nu).mean()


def nce_gradient(diagonal, couplings, log_partition, data, noise, data_log_noise, noise_log_noise, noise_ratio):
    data_ratio = log_ratio(diagonal, couplings, log_partition, data, data_log_noise)
    other_ratio = log_ratio(diagonal, couplings, log_partition, noise, noise_log_noise)
    log_nu = np.log(noise_ratio)
    missed, fooled = sigmoid(log_nu - data_ratio), sigmoid(other_ratio - log_nu)
    gradient = -missed @ scores(data, len(couplings)) / len(data)
    gradient += noise_ratio * fooled @ scores(noise, len(couplings)) / len(noise)
    return gradient[0], gradient[1:-1], gradient[-1]


def scores(images, directions):
    """∂G/∂θ for shared weights and c, [N, 2 + K]."""
    unit = np.eye(directions + 1)
    columns = [-0.5 * quadratic_form(weights[0], weights[1:], images) for weights in unit]
    return np.stack([*columns, -np.ones(len(images))], axis=1)


def second_estimator():
    return "score_matching"


def second_loss(diagonal, couplings, images, perturbed):
    matrix = precision_matrix(diagonal, couplings, *images.shape[1:])
    flat = images.reshape(len(images), -1)
    return 0.5 * np.square(flat @ matrix).sum(axis=1).mean() - np.trace(matrix)


def train(estimator, images, connectivity, seed):
    start = np.r_[1 / images.var(), np.zeros(connectivity // 2)]
    if estimator == "nce":
        return train_nce(images, start, np.random.default_rng(seed))
    theta = train_score_matching(images, start)
    return theta[0], theta[1:], None


def train_nce(images, theta, generator):
    """Newton steps on the NCE loss, each against fresh noise drawn from the fit before it; log Z adds up on the way."""
    directions = len(theta) - 1
    constant = 0.5 * images[0].size * np.log(2 * np.pi / theta[0])
    on_images = scores(images, directions).mean(axis=0)
    on_noise, tail = scores(draw(theta, images, generator), directions), []
    for _ in range(STAGES):
        # The gradient of NCE where p_n is p_θ itself: the classifier says ½ of every image.
        gradient = 0.5 * (on_noise.mean(axis=0) - on_images)
        step = -np.linalg.solve(on_noise.T @ on_noise / (2 * len(on_noise)), gradient)[:-1]
        step = shortened(step * min(1, TRUST / np.std(on_noise[:, :-1] @ step)), theta, images)
        theta, before = theta + step, on_noise
        on_noise = scores(draw(theta, images, generator), directions)
        constant += bridge(step, before, on_noise)
        tail = [*tail, theta][-STAGES // 4 :]
    last = np.mean(tail, axis=0)
    constant += bridge(last - theta, on_noise, scores(draw(last, images, generator), directions))
    return last[0], last[1:], constant


def shortened(step, theta, images):
    """The step, halved until it keeps Λ positive definite."""
    while not is_positive_definite(theta[0] + step[0], theta[1:] + step[1:], *images.shape[1:]):
        step = step / 2
    return step


def bridge(step, before, after):
    """log Z after a step of the weights less log Z before it: the constant at which NCE's gradient by it vanishes."""
    below, above = (on_noise[:, :-1] @ step for on_noise in (before, after))
    ends = min(below.min(), above.min()), max(below.max(), above.max())
    return optimize.brentq(lambda c: sigmoid(c - above).mean() - sigmoid(below - c).mean(), *ends)


def draw(theta, images, generator):
    factor = np.linalg.cholesky(precision_matrix(theta[0], theta[1:], *images.shape[1:]))
    normal = generator.standard_normal((images[0].size, len(images)))
    return linalg.solve_triangular(factor.T, normal).T.reshape(images.shape)


def train_score_matching(images, theta):
    """½E‖M^½Λx‖² − tr(MΛ) solved again and again with M = Λ⁻¹ of the fit before, kept positive definite."""
    flat = images.reshape(len(images), -1)
    moments = flat.T @ flat / len(flat)
    stencils = np.array([precision_matrix(w[0], w[1:], *images.shape[1:]) for w in np.eye(len(theta))])
    for _ in range(30):
        weight = np.linalg.inv(precision_matrix(theta[0], theta[1:], *images.shape[1:]))
        left = np.tensordot(moments @ stencils, stencils @ weight, ([1, 2], [1, 2]))
        right = np.tensordot(stencils, weight, 2)
        theta = theta + shortened(0.5 * (np.linalg.solve(left, right) - theta), theta, images)
    return theta


def report():
    return Path(__file__).with_name("report.md").read_text(encoding="utf-8")
