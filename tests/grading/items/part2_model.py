"""Model: Λ on the 4-connected lattice, xᵀΛx, and whether Λ is positive definite."""

import numpy as np

from grading.grader import errors, reference
from grading.grader.judge import ask, check, distance, from_own_matrix, own_matrix
from grading.grader.rubric import Lost, item

HEIGHT, WIDTH = 5, 7
EXACT = 1e-5


def lattice_of(diagonal, couplings, height, width):
    """The arguments that say what Λ is."""
    return {"diagonal": diagonal, "couplings": couplings, "height": height, "width": width}


def shared(submission, directions=2, height=HEIGHT, width=WIDTH):
    """A lattice with random shared weights, no two alike."""
    random = submission.random(f"shared weights {directions}")
    couplings = random.uniform([-1.0, -0.5, 0.4, -0.3], [-0.8, -0.3, 0.6, -0.1])
    return lattice_of(random.uniform(3.5, 4) + directions / 2, couplings[:directions], height, width)


def per_edge(submission, directions=2, name="edge weights"):
    """One with random weights for each pixel and edge, zero where the neighbour is off the image; positive definite."""
    random, height, width = submission.random(f"{name} {directions}"), HEIGHT, WIDTH
    couplings = random.uniform(-0.8, 0.4, (directions, height, width))
    for k, (down, right) in enumerate(reference.OFFSETS[:directions]):
        couplings[k, height - down :] = 0
        if right:
            couplings[k][:, -1 if right > 0 else 0] = 0
    return lattice_of(random.uniform(4, 6, (height, width)), couplings, height, width)


def check_matrix(submission, lattice):
    expected = reference.precision_matrix(**lattice)
    value = ask(submission, "precision_matrix", expected.shape, **lattice)
    if distance(value, value.T) > EXACT:
        sentence = "Λ must be symmetric."
    elif distance(np.diag(value), np.diag(expected)) > EXACT:
        sentence = "The diagonal of Λ must be the pixels' diagonal weights."
    elif value[expected == 0].any():
        sentence = "Λ has entries between pixels that are not neighbours; look at pixels on the border of the image."
    else:
        sentence = "Neighbours have the wrong coupling; mind the numbering row by row, and which direction is which."
    check(submission, "precision_matrix", value, expected, sentence, errors.lattice(**lattice), tolerance=EXACT)


def check_quadratic_form(submission, lattice):
    images = submission.random("images of xᵀΛx").normal(size=(9, HEIGHT, WIDTH))

    def form(matrix):
        return reference.quadratic_form(matrix, images)

    expected = form(reference.precision_matrix(**lattice))
    weights = {"diagonal": lattice["diagonal"], "couplings": lattice["couplings"]}
    value = ask(submission, "quadratic_form", (9,), **weights, images=images)
    known = [("½ is not in xᵀΛx itself.", expected / 2), ("The sign of xᵀΛx is wrong.", -expected)]
    known += [(said, form(matrix)) for said, matrix in errors.lattice(**lattice)]
    follow = from_own_matrix(submission, lattice, form)
    sentence = "xᵀΛx is off; an edge counts twice in it, and pixels on the border have fewer neighbours."
    check(submission, "quadratic_form", value, expected, sentence, known, follow, tolerance=EXACT)


@item("model", 4, "Λ assembled, shared weights")
def matrix_shared(submission):
    check_matrix(submission, shared(submission))


@item("model", 3, "Λ assembled, a weight for each pixel and edge")
def matrix_per_edge(submission):
    check_matrix(submission, per_edge(submission))


@item("model", 4, "xᵀΛx, shared weights")
def quadratic_form_shared(submission):
    check_quadratic_form(submission, shared(submission))


@item("model", 3, "xᵀΛx, a weight for each pixel and edge")
def quadratic_form_per_edge(submission):
    check_quadratic_form(submission, per_edge(submission))


INDEFINITE = "A Λ with negative eigenvalues was called positive definite; a determinant's sign or size cannot tell."
REFUSED = "A positive definite Λ was called indefinite; it need not be diagonally dominant."


def lattices(random, count=3):
    """(lattice, whether Λ is positive definite, whether a shortcut misjudges it), all four kinds, in a drawn order.

    Shortcuts are diagonal dominance, which some positive definite Λ lack, and a positive determinant, which some
    indefinite ones have.
    """
    found = {kind: [] for kind in np.ndindex(2, 2)}
    while min(map(len, found.values())) < count:
        size = map(int, random.integers(2, 9, 2))
        lattice = lattice_of(random.uniform(-1, 4), random.uniform(-1, 1, 2), *size)
        matrix = reference.precision_matrix(**lattice)
        values = np.linalg.eigvalsh(matrix)
        if np.abs(values).min() > 0.02 * np.abs(values).max():
            dominant = (2 * np.diag(matrix) > np.abs(matrix).sum(axis=1)).all()
            definite = bool(values[0] > 0)
            misjudged = not dominant if definite else (values < 0).sum() % 2 == 0
            found[definite, misjudged].append(lattice)
    drawn = [(lattice, *kind) for kind, all_of_it in found.items() for lattice in all_of_it[:count]]
    return [drawn[k] for k in random.permutation(len(drawn))]


@item("model", 4, "positive definite told from indefinite")
def positive_definite(submission):
    wrong = []
    for lattice, expected, misjudged in lattices(submission.random("positive definite")):
        answer = bool(ask(submission, "is_positive_definite", (), **lattice))
        own = [m for m in own_matrix(submission, lattice) if distance(m, m.T) < EXACT]
        if answer != expected and not any(answer == reference.is_positive_definite(m) for m in own):
            wrong.append((0.5 if expected and misjudged else 0.0, REFUSED if expected else INDEFINITE))
    if wrong:
        share, sentence = min(wrong)
        raise Lost(sentence, share)
