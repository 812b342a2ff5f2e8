"""Model: Λ on the 4-connected lattice, xᵀΛx, and whether Λ is positive definite."""

import numpy as np
import pytest

from grading.grader import reference
from grading.grader.judge import ask, distance, require

HEIGHT, WIDTH = 5, 7
SHARED = (3.7, np.array([-0.9, -0.4]))
EXACT = 1e-5


def per_edge(directions, height=HEIGHT, width=WIDTH):
    """Random weights for each pixel and edge, zero where the neighbour is off the image, of a positive definite Λ."""
    random = np.random.default_rng(directions)
    couplings = random.uniform(-0.8, 0.4, (directions, height, width))
    for k, (down, right) in enumerate(reference.OFFSETS[:directions]):
        couplings[k, height - down :] = 0
        if right:
            couplings[k][:, -1 if right > 0 else 0] = 0
    return random.uniform(4, 6, (height, width)), couplings


def check_matrix(submission, diagonal, couplings):
    size = {"height": HEIGHT, "width": WIDTH}
    expected = reference.precision_matrix(diagonal, couplings, **size)
    shape = (HEIGHT * WIDTH,) * 2
    matrix = ask(submission, "precision_matrix", shape, diagonal=diagonal, couplings=couplings, **size)
    require(distance(matrix, matrix.T) < EXACT, "Λ must be symmetric.")
    require(
        distance(np.diag(matrix), np.diag(expected)) < EXACT, "The diagonal of Λ must be the pixels' diagonal weights."
    )
    require(
        (matrix[expected == 0] == 0).all(),
        "Λ has entries between pixels that are not neighbours; look at pixels on the border of the image.",
    )
    require(
        distance(matrix, expected) < EXACT,
        "Neighbours have the wrong coupling; mind that pixels are numbered row by row, and which direction is which.",
    )


def check_quadratic_form(submission, diagonal, couplings):
    images = np.random.default_rng(5).normal(size=(9, HEIGHT, WIDTH))
    expected = reference.quadratic_form(reference.precision_matrix(diagonal, couplings, HEIGHT, WIDTH), images)
    value = ask(submission, "quadratic_form", (9,), diagonal=diagonal, couplings=couplings, images=images)
    require(
        distance(value, expected) < EXACT,
        "xᵀΛx is off; an edge between two pixels counts twice in it, and pixels on the border have fewer neighbours.",
    )


@pytest.mark.item("model", 4, "Λ assembled, shared weights")
def test_matrix_shared(submission):
    check_matrix(submission, *SHARED)


@pytest.mark.item("model", 3, "Λ assembled, a weight for each pixel and edge")
def test_matrix_per_edge(submission):
    check_matrix(submission, *per_edge(2))


@pytest.mark.item("model", 4, "xᵀΛx, shared weights")
def test_quadratic_form_shared(submission):
    check_quadratic_form(submission, *SHARED)


@pytest.mark.item("model", 3, "xᵀΛx, a weight for each pixel and edge")
def test_quadratic_form_per_edge(submission):
    check_quadratic_form(submission, *per_edge(2))


@pytest.mark.item("model", 4, "positive definite told from indefinite")
def test_positive_definite(submission):
    def ask_about(diagonal, couplings, height, width):
        weights = {"diagonal": diagonal, "couplings": np.array(couplings)}
        answer = ask(submission, "is_positive_definite", (), **weights, height=height, width=width)
        return bool(answer)

    indefinite = [
        (3.0, [-0.9, -0.9], 8, 8),
        (3.0, [0.9, 0.9], 8, 8),
        (1.0, [-0.8, 0.3], 2, 2),
        (-1.0, [0.0, 0.0], 3, 4),
    ]
    for weights in indefinite:
        require(
            not ask_about(*weights),
            "A Λ with negative eigenvalues was called positive definite; a determinant's size alone cannot tell.",
        )
    require(ask_about(4.0, [-0.9, -0.9], 8, 8), "A positive definite Λ was called indefinite.")
    for weights in [(3.0, [-0.78, -0.78], 8, 8), (1.0, [-0.55, 0.35], 2, 2)]:
        require(
            ask_about(*weights),
            "A positive definite Λ was called indefinite; one need not be diagonally dominant to be positive definite.",
            share=0.5,
        )
