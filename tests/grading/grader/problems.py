"""What submissions are asked to fit, and the truth about it, which they are not sent."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from grading.grader import reference

_SAMPLE = Path(__file__).resolve().parents[3] / "assignment" / "data" / "mnist_sample.npz"


@dataclass(frozen=True, eq=False)
class Problem:
    """Images to fit, and how far any Λ is from the best there is.

    Attributes:
      images: [N, H, W], mean subtracted.
      connectivity: 4 or 8.
      gap: Λ [D, D] ↦ nats per image that it is short of the best.
      none: the gap of pixels that are fitted one by one.
    """

    images: np.ndarray
    connectivity: int
    gap: callable
    none: float


@cache
def lattice(connectivity):
    """4,000 draws of a known lattice of 7 × 8 pixels; the gap is the divergence from the truth."""
    couplings = [-1.2, -0.8] if connectivity == 4 else [-1.2, -0.9, 0.7, -0.3]
    truth = reference.precision_matrix(4.5, couplings, 7, 8)
    images = reference.draw(truth, 4000, (7, 8), np.random.default_rng(connectivity))

    def gap(matrix):
        return reference.divergence(truth, matrix)

    return Problem(images, connectivity, gap, gap(np.eye(56) / images.var()))


@cache
def digits():
    """The middle of 1,500 handwritten digits, 14 × 14 pixels; the gap is to maximum likelihood, on 500 others."""
    with np.load(_SAMPLE, allow_pickle=False) as arrays:
        raw = [arrays["train"][:1500, 7:21, 7:21], arrays["test"][:500, 7:21, 7:21]]
    random = np.random.default_rng(0)
    train, test = (r / 255 + random.normal(0, 0.1, r.shape) for r in raw)
    mean = train.mean(axis=0)
    train, test = train - mean, test - mean
    ceiling = reference.mean_log_density(reference.maximum_likelihood(train, 2), test)

    def gap(matrix):
        return ceiling - reference.mean_log_density(matrix, test)

    return Problem(train, 4, gap, gap(np.eye(196) / train.var()))
