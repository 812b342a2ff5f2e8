"""Samples: x' = μ + Aε with A = Λ^(−½)."""

import numpy as np

from grading.grader import errors, reference
from grading.grader.judge import ask, check, distance, own_matrix, require
from grading.grader.rubric import item
from grading.items.part3_nce import HEIGHT, WIDTH, situation

D = HEIGHT * WIDTH
CLOSE = 1e-4


def weights_and_mean(submission):
    weights = {name: situation(submission, 1)[name] for name in ("diagonal", "couplings")}
    return weights, submission.random("mean image").uniform(-1, 2, (HEIGHT, WIDTH))


def root(submission):
    """(A [D, D], what is added to Aε [D]), read off from what becomes of unit vectors and of zero."""

    def ask_for_it():
        weights, mean = weights_and_mean(submission)
        epsilon = np.concatenate([np.zeros((1, D)), np.eye(D)]).reshape(-1, HEIGHT, WIDTH)
        images = ask(submission, "sample", epsilon.shape, **weights, mean=mean, epsilon=epsilon).reshape(-1, D)
        return (images[1:] - images[0]).T, images[0]

    return submission.once("root", ask_for_it)


@item("samples", 4, "samples with covariance Λ⁻¹")
def covariance(submission):
    matrix, _ = root(submission)
    weights, _ = weights_and_mean(submission)
    size = {"height": HEIGHT, "width": WIDTH}
    covariance = np.linalg.inv(reference.precision_matrix(**weights, **size))
    follow = (
        ("precision_matrix", np.linalg.inv(own))
        for own in own_matrix(submission, **weights, **size)
        if np.linalg.cond(own) < 1e9
    )
    known = [(said, wrong, 0.0) for said, wrong in errors.root(covariance)]
    sentence = "For standard normal ε your samples do not have the covariance Σ = Λ⁻¹; check that AAᵀ = Σ."
    check(submission, "sample", matrix @ matrix.T, covariance, sentence, known, follow)


@item("samples", 2, "samples around the mean")
def mean(submission):
    _, offset = root(submission)
    _, mean = weights_and_mean(submission)
    require(distance(offset, mean.ravel()) < CLOSE, "Samples for ε = 0 must be the mean image μ.")


@item("samples", 2, "A the symmetric root, as the exercise writes it")
def symmetric_root(submission):
    matrix, _ = root(submission)
    require(distance(matrix, matrix.T) < CLOSE, "A = Λ^(−½) is the symmetric root; another factor of Σ was used.")
    require((np.linalg.eigvalsh(matrix) > 0).all(), "A = Λ^(−½) has positive eigenvalues, as Λ has.")
    weights, _ = weights_and_mean(submission)
    size = {"height": HEIGHT, "width": WIDTH}
    of_lattice = [reference.precision_matrix(**weights, **size), *own_matrix(submission, **weights, **size)]
    # Another power of Λ is charged above.
    require(any(_is_a_power(matrix, of) for of in of_lattice), "A = Λ^(−½) is a power of the given Λ; yours is not.")


def _is_a_power(matrix, of):
    """Whether the logarithms of the eigenvalues lie on a line, and the eigenvectors are the same."""
    values, vectors = np.linalg.eigh(of)
    in_its_basis = vectors.T @ matrix @ vectors
    logs = np.log(np.abs(np.diag(in_its_basis)))
    off_the_line = np.polyval(np.polyfit(np.log(np.abs(values)), logs, 1), np.log(np.abs(values))) - logs
    off_the_diagonal = in_its_basis - np.diag(np.diag(in_its_basis))
    return max(np.abs(off_the_line).max(), np.abs(off_the_diagonal).max()) < 1e-3
