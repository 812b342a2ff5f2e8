"""The fits that a submission makes: each made once, and judged by several items."""

from dataclasses import dataclass

import numpy as np

from grading.grader import reference
from grading.grader.judge import as_array, require
from grading.grader.rubric import Lost
from grading.grader.supervisor import Failure

TRAIN_SECONDS = 45


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted Λ, [D, D], whether it is a precision at all, and the learned log Z (NaN where none is)."""

    matrix: np.ndarray
    positive_definite: bool
    log_partition: float

    def require_positive_definite(self):
        require(self.positive_definite, "The fitted Λ is not positive definite, so it defines no density to judge.")

    def require_fitted(self, problem):
        """So that nothing is earned by handing back a Λ whose log Z or eigenvalues are known beforehand."""
        self.require_positive_definite()
        require(
            problem.gap(self.matrix) < 0.9 * problem.none,
            "The fitted Λ is hardly better than independent pixels, so there is nothing to judge yet.",
        )


class Trainings:
    """All fits of one submission."""

    def __init__(self, submission):
        self.submission = submission
        self._results = {}

    def __call__(self, estimator, problem):
        """The `Fit` of a problem by "nce" or "second"; Lost, each time anew, if there is none."""
        key = estimator, id(problem)
        if key not in self._results:
            try:
                self._results[key] = self._train(estimator, problem)
            except Lost as lost:
                self._results[key] = lost
        result = self._results[key]
        if isinstance(result, Lost):
            raise Lost(*result.args, result.share)
        return result

    def _train(self, estimator, problem):
        arguments = {"estimator": estimator, "images": problem.images, "connectivity": problem.connectivity, "seed": 1}
        try:
            value = self.submission.call("train", seconds=TRAIN_SECONDS, **arguments)
        except Failure as failure:
            raise Lost(f"train {failure}.") from failure
        require(isinstance(value, list) and len(value) == 3, "train must return diagonal, couplings and log_partition.")
        height, width = problem.images.shape[1:]
        directions = problem.connectivity // 2
        diagonal, couplings = as_array("train", value[0]), as_array("train", value[1])
        shapes = [((), (directions,)), ((height, width), (directions, height, width))]
        diagonal = diagonal.reshape(()) if diagonal.size == 1 else diagonal
        require(
            (diagonal.shape, couplings.shape) in shapes,
            f"train returned a diagonal of shape {diagonal.shape} with couplings of shape {couplings.shape}; "
            "adapters.py says which shapes Λ may be given in.",
        )
        matrix = reference.precision_matrix(diagonal, couplings, height, width)
        try:
            constant = float(value[2]) if value[2] is not None else float("nan")
        except (TypeError, ValueError, OverflowError):
            constant = float("nan")
        return Fit(matrix, reference.is_positive_definite(matrix), constant)
