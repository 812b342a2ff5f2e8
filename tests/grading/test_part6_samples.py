"""Samples: x' = μ + Aε with A = Λ^(−½)."""

import numpy as np
import pytest

from grading.grader import reference
from grading.grader.judge import ask, distance, require

HEIGHT, WIDTH = 4, 5
D = HEIGHT * WIDTH
WEIGHTS = {"diagonal": 4.2, "couplings": np.array([-1.3, -0.6])}
MEAN = np.linspace(-1, 2, D).reshape(HEIGHT, WIDTH)
CLOSE = 1e-4


@pytest.fixture(scope="module")
def root(submission):
    """(A [D, D], what is added to Aε [D]), read off from what becomes of unit vectors and of zero."""

    def ask_for_it():
        epsilon = np.concatenate([np.zeros((1, D)), np.eye(D)]).reshape(-1, HEIGHT, WIDTH)
        images = ask(submission, "sample", epsilon.shape, **WEIGHTS, mean=MEAN, epsilon=epsilon).reshape(-1, D)
        return (images[1:] - images[0]).T, images[0]

    return ask_for_it


@pytest.mark.item("samples", 4, "samples with covariance Λ⁻¹")
def test_covariance(root):
    matrix, _ = root()
    covariance = np.linalg.inv(reference.precision_matrix(**WEIGHTS, height=HEIGHT, width=WIDTH))
    require(
        distance(matrix @ matrix.T, covariance) < CLOSE,
        "For standard normal ε your samples do not have the covariance Σ = Λ⁻¹; check that AAᵀ = Σ.",
    )


@pytest.mark.item("samples", 2, "samples around the mean")
def test_mean(root):
    _, offset = root()
    require(distance(offset, MEAN.ravel()) < CLOSE, "Samples for ε = 0 must be the mean image μ.")


@pytest.mark.item("samples", 2, "A the symmetric root, as the hand-out writes it")
def test_symmetric_root(root):
    matrix, _ = root()
    require(distance(matrix, matrix.T) < CLOSE, "A = Λ^(−½) is the symmetric root; another factor of Σ was used.")
    require((np.linalg.eigvalsh(matrix) > 0).all(), "A = Λ^(−½) has positive eigenvalues, as Λ has.")
