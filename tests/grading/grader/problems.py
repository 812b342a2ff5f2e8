"""What submissions are asked to fit, and the truth about it, which they are not sent. All is drawn anew each time."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from grading.grader import reference
from grading.grader.submission import once

SHAPES = {"lattice": (7, 8), "digits": (14, 14)}
_SAMPLE = Path(__file__).resolve().parents[3] / "assignment" / "data" / "mnist_sample.npz"


@dataclass(frozen=True, eq=False)
class Problem:
    """Images to fit, and how far any Λ is from the best there is.

    Attributes:
      images: [N, H, W], mean subtracted.
      connectivity: 4 or 8.
      shortfall: positive definite Λ [D, D] ↦ nats per image that it is short of the best.
      none: that of independent pixels of one common variance.
      likeliest: Λ of exact maximum likelihood on these images.
    """

    images: np.ndarray
    connectivity: int
    shortfall: callable
    none: float
    likeliest: np.ndarray

    def gap(self, matrix):
        """The shortfall; infinite where Λ is indefinite."""
        return self.shortfall(matrix) if reference.is_positive_definite(matrix) else np.inf


@once
def lattice(submission, connectivity):
    """2,500 draws of a lattice with weights drawn for it; the shortfall is the divergence from the truth."""
    random, shape, smallest = submission.random(f"lattice {connectivity}"), SHAPES["lattice"], 0
    while smallest < 0.3:
        couplings = [*-random.uniform(0.5, 1.4, 2)]
        couplings += [random.uniform(0.5, 0.8), -random.uniform(0.2, 0.4)] if connectivity == 8 else []
        truth = reference.precision_matrix(random.uniform(4.2, 5), couplings, *shape)
        smallest = np.linalg.eigvalsh(truth)[0]
    images = reference.draw(truth, 2500, shape, random)
    return _problem(images, connectivity, lambda matrix: reference.divergence(truth, matrix), random)


@once
def digits(submission):
    """Parts of 1,000 handwritten digits; the shortfall is to maximum likelihood, on 500 others."""
    random, (height, width) = submission.random("digits"), SHAPES["digits"]
    top, left = random.integers(6, 9, 2)
    with np.load(_SAMPLE, allow_pickle=False) as arrays:
        raw = [
            random.permutation(arrays[split])[:count, top : top + height, left : left + width]
            for split, count in (("train", 1000), ("test", 500))
        ]
    train, test = (r / 255 + random.normal(0, 0.1, r.shape) for r in raw)
    train, test = train - train.mean(axis=0), test - train.mean(axis=0)
    ceiling = reference.mean_log_density(reference.maximum_likelihood(train, 2), test)
    return _problem(train, 4, lambda matrix: ceiling - reference.mean_log_density(matrix, test), random)


def _problem(images, connectivity, shortfall, random):
    none = shortfall(np.eye(images[0].size) / images.var())
    likeliest = reference.maximum_likelihood(images, connectivity // 2)
    return turned(Problem(images, connectivity, shortfall, none, likeliest), random, least=0)


def turned(problem, random, least=1):
    """The problem in another contrast, and with the signs turned of every second row, column, or both (or of none, if
    `least` is 0): it is as hard as before, and a Λ that is near the old one is far from the new."""
    row, column = np.indices(problem.images.shape[1:])
    by_row, by_column = divmod(random.integers(least, 4), 2)
    factors = (-1.0) ** (by_row * row + by_column * column) * np.exp(random.uniform(-0.4, 0.4))
    scale = np.outer(factors, factors)
    return replace(
        problem,
        images=factors * problem.images,
        shortfall=lambda matrix: problem.shortfall(scale * matrix),
        likeliest=problem.likeliest / scale,
    )
