"""The right answers, in plain NumPy and dense matrices: slow, short, and known to the grader's own process only.

Weights are as in adapters.py: shared (a number and [K]) or per-edge ([H, W] and [K, H, W]).
"""

import math

import numpy as np

OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))  # right, down, down-right, down-left


def precision_matrix(diagonal, couplings, height, width):
    """Λ, [D, D], pixels numbered row by row."""
    matrix = np.diag(np.broadcast_to(np.asarray(diagonal, float), (height, width)).ravel())
    for (down, right), coupling in zip(OFFSETS, couplings, strict=False):
        field = np.broadcast_to(coupling, (height, width))
        for row in range(height - down):
            for column in range(max(0, -right), width - max(0, right)):
                one, other = row * width + column, (row + down) * width + column + right
                matrix[one, other] = matrix[other, one] = field[row, column]
    return matrix


def stencil_matrices(directions, height, width):
    """∂Λ/∂θ of shared weights, [1 + K, D, D]."""
    return np.stack([precision_matrix(unit[0], unit[1:], height, width) for unit in np.eye(1 + directions)])


def quadratic_form(matrix, images):
    """xᵀΛx, [N]."""
    x = np.reshape(images, (len(images), -1))
    return ((x @ matrix) * x).sum(axis=1)


def log_partition(matrix):
    """D/2 log 2π − ½ log det Λ; LinAlgError if Λ is not positive definite."""
    half = np.log(np.diag(np.linalg.cholesky(matrix))).sum()
    return 0.5 * len(matrix) * math.log(2 * math.pi) - half


def is_positive_definite(matrix):
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(matrix).all())


def noise_log_density(images, variance):
    """Σ_i log N(x_i; 0, variance_i), [N]."""
    return -0.5 * (images**2 / variance + np.log(2 * math.pi * variance)).sum(axis=(1, 2))


def nce_loss(data_ratio, noise_ratio, nu):
    """−J."""
    return softplus(math.log(nu) - data_ratio).mean() + nu * softplus(noise_ratio - math.log(nu)).mean()


def conditional_nce_loss(form, other_form):
    """mean log(1 + exp(f(x') − f(x))) with f = −½xᵀΛx, from xᵀΛx of the images and of the perturbed ones."""
    return softplus(0.5 * (form - other_form)).mean()


def score_matching_loss(matrix, images):
    """½ mean ‖Λx‖² − tr Λ."""
    x = np.reshape(images, (len(images), -1))
    return 0.5 * ((x @ matrix) ** 2).sum(axis=1).mean() - np.trace(matrix)


def draw(matrix, count, shape, random):
    """Images [count, H, W] of N(0, Λ⁻¹)."""
    factor = np.linalg.cholesky(matrix)
    return np.linalg.solve(factor.T, random.standard_normal((len(matrix), count))).T.reshape(count, *shape)


def divergence(truth, fitted):
    """KL(N(0, truth⁻¹) ‖ N(0, fitted⁻¹)): the nats per image that the fit is short of the truth."""
    ratio = np.linalg.solve(truth, fitted)
    return 0.5 * (np.trace(ratio) - len(truth)) + log_partition(fitted) - log_partition(truth)


def mean_log_density(matrix, images):
    return -0.5 * quadratic_form(matrix, images).mean() - log_partition(matrix)


def maximum_likelihood(images, directions):
    """Λ of the best shared weights for images [N, H, W], by Newton's method from independent pixels."""
    count, height, width = images.shape
    stencils = stencil_matrices(directions, height, width)
    flat = images.reshape(count, -1)
    second_moments = flat.T @ flat / count
    moments = np.einsum("kij,ij->k", stencils, second_moments)
    theta = np.r_[height * width / moments[0], np.zeros(directions)]
    for _ in range(100):
        covariance = np.linalg.inv(np.tensordot(theta, stencils, 1))
        products = stencils @ covariance
        gradient = 0.5 * (np.trace(products, axis1=1, axis2=2) - moments)
        step = np.linalg.solve(0.5 * np.einsum("kij,lji->kl", products, products), gradient)
        while not is_positive_definite(np.tensordot(theta + step, stencils, 1)):
            step /= 2
        theta = theta + step
        if gradient @ step < 1e-12:
            break
    return np.tensordot(theta, stencils, 1)


def softplus(t):
    return np.logaddexp(0, t)


def sigmoid(t):
    return np.exp(-softplus(-t))
