"""Samples: x' = μ + Aε with A = Λ^(−½)."""

import numpy as np

from grading.grader import errors, reference
from grading.grader.judge import ask, check, distance, from_own_matrix, own_matrix, require
from grading.grader.rubric import item
from grading.grader.submission import once
from grading.items.part3_nce import HEIGHT, WIDTH, situation

CLOSE = 1e-4


def lattice_and_mean(submission):
    lattice, _ = situation(submission, 1)
    return lattice, submission.random("mean image").uniform(-1, 2, (HEIGHT, WIDTH))


@once
def root(submission):
    """(A [D, D], what is added to Aε [D]), read off from what becomes of unit vectors and of zero."""
    lattice, mean = lattice_and_mean(submission)
    epsilon = np.concatenate([np.zeros((1, mean.size)), np.eye(mean.size)]).reshape(-1, *mean.shape)
    arguments = {"diagonal": lattice["diagonal"], "couplings": lattice["couplings"], "mean": mean, "epsilon": epsilon}
    images = ask(submission, "sample", epsilon.shape, **arguments).reshape(-1, mean.size)
    return (images[1:] - images[0]).T, images[0]


@item("samples", 4, "samples with covariance Λ⁻¹")
def covariance(submission):
    matrix, _ = root(submission)
    lattice, _ = lattice_and_mean(submission)
    covariance = np.linalg.inv(reference.precision_matrix(**lattice))
    follow = from_own_matrix(submission, lattice, np.linalg.pinv)
    sentence = "For standard normal ε your samples do not have the covariance Σ = Λ⁻¹; check that AAᵀ = Σ."
    check(submission, "sample", matrix @ matrix.T, covariance, sentence, errors.root(covariance), follow)


@item("samples", 2, "samples around the mean")
def mean(submission):
    _, offset = root(submission)
    _, mean = lattice_and_mean(submission)
    require(distance(offset, mean.ravel()) < CLOSE, "Samples for ε = 0 must be the mean image μ.")


@item("samples", 2, "A the symmetric root, as the exercise writes it")
def symmetric_root(submission):
    matrix, _ = root(submission)
    require(distance(matrix, matrix.T) < CLOSE, "A = Λ^(−½) is the symmetric root; another factor of Σ was used.")
    require((np.linalg.eigvalsh(matrix) > 0).all(), "A = Λ^(−½) has positive eigenvalues, as Λ has.")
    lattice, _ = lattice_and_mean(submission)
    of_lattice = [reference.precision_matrix(**lattice), *own_matrix(submission, lattice)]
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
