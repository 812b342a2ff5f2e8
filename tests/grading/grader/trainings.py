"""The fits that a submission makes: each made once, and again where it is not evident that it is of its images."""

from dataclasses import dataclass

import numpy as np

from grading.grader import errors, problems, reference
from grading.grader.judge import ask_for_several, closeness, require, there
from grading.grader.submission import once

# No sampled fit is as near: (nats of log Z for one fit, for two fits, nats of divergence from maximum likelihood).
TOO_EXACT = 2e-5, 2e-3, 1e-9
EVIDENT = 0.003  # nats of divergence from maximum likelihood: no fit of other images is as near
NEAR = 0.02  # of the gap of independent pixels of one common variance
LATTICE, FROM_P_N = ("precision_matrix", "quadratic_form"), "noise_log_density"
BUILT_ON, MOST = (*LATTICE, FROM_P_N), 0.75
INDEFINITE = "The fitted Λ is not positive definite, so it defines no density to judge."
HARDLY_BETTER = "The fitted Λ is hardly better than independent pixels, so there is nothing to judge yet."


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted Λ, [D, D], its problem and its gap, and the learned log Z (a Lost if there is none)."""

    problem: object
    matrix: np.ndarray
    gap: float
    log_partition: object

    @property
    def better_than_none(self):
        return self.gap < 0.9 * self.problem.none

    def require_positive_definite(self, sentence=INDEFINITE):
        require(self.gap < np.inf, sentence)

    def require_fitted(self):
        """So that nothing is earned by handing back a Λ whose log Z or eigenvalues are known beforehand."""
        self.require_positive_definite()
        require(self.better_than_none, HARDLY_BETTER)


@once
def fit(submission, estimator, problem):
    """The `Fit` of a problem by "nce" or "second"; Lost if there is none."""
    first = _ask(submission, estimator, problem)
    gap, none, random = first.gap, problem.none, submission.random(f"turned {submission.title}")
    if gap == np.inf:
        return first
    distance = reference.divergence(problem.likeliest, first.matrix)
    if estimator == "nce" and abs(distance) < TOO_EXACT[2]:
        _note(submission, "the fit by NCE is that of exact maximum likelihood, to more digits than sampling allows")
    # Λ that was recorded in another grading may be near this one by chance, but does not follow the images.
    looks = 0 if distance < EVIDENT or gap >= none else 1 if gap < NEAR * none else 2
    for _ in range(looks):
        again = _ask(submission, estimator, problems.turned(problem, random))
        require(
            again.gap < min(0.8 * none, max(3 * gap, 0.1 * none)),
            "Asked again, for these images with other signs and another contrast, train did not follow; its answer "
            "must come from the images that it is given.",
        )
    return first


def judge_fit(submission, fit, full, hint=""):
    """Points for the nats that a fit is short of the best."""
    fit.require_positive_definite()
    said = f"The fit is {max(fit.gap, 0):.3g} nats per image below the ceiling; up to {full:g} is near enough."
    _give(submission, fit, f"{said} {hint}".strip(), said, closeness(fit.gap, full, fit.problem.none))


def judge_constant(submission, problem, full, none):
    """Points for the learned log Z, held against that of the fitted Λ."""
    result = fit(submission, "nce", problem)
    result.require_fitted()
    learned = float(there(result.log_partition))
    signed = learned - reference.log_partition(result.matrix)
    for dimensions in (len(result.matrix) - 1, len(result.matrix)):
        constant = 0.5 * dimensions * np.log(2 * np.pi)
        if FROM_P_N in submission.failed and abs(signed - constant) < full:
            submission.remark(f"Off by {constant:.4g}, as your log p_n is: see “{submission.failed[FROM_P_N]}”.")
            signed -= constant
    side = "above" if signed > 0 else "below"
    said = f"The learned log Z is {abs(signed):.3g} nats {side} that of the fitted Λ; up to {full:g} is near enough."
    _give(submission, result, said, said, closeness(abs(signed), full, none))
    gaps = submission.kept.setdefault("gaps of log Z", [])
    gaps.append(abs(signed))
    if min(gaps) < TOO_EXACT[0] or sum(gap < TOO_EXACT[1] for gap in gaps) > 1:
        _note(submission, "the learned log Z agrees with the exact one to more digits than sampling allows")


def _give(submission, fit, short, said, share):
    """The points; most of them where the fit, better than none, is built on a function that was charged before."""
    charged = next((function for function, _ in submission.charged if function in BUILT_ON), None)
    if charged and share < MOST and fit.better_than_none:
        short, share = f"{short} Mildly charged: {charged} is in “{submission.failed[charged]}”.", MOST
    require(share == 1, short, share)
    submission.remark(said)


def _note(submission, what):
    note = f"NOTE for the teacher: {what}. Look at how `train` comes by it."
    if note not in submission.notes:
        submission.notes.append(note)


def _ask(submission, estimator, problem):
    field, directions = problem.images.shape[1:], problem.connectivity // 2
    arguments = {"estimator": estimator, "images": problem.images, "connectivity": problem.connectivity}
    arguments["seed"] = int(submission.random(f"seed of {estimator}").integers(2**31))
    shapes = {"diagonal": [(), field], "couplings": [(directions,), (directions, *field)], "log Z": [()]}
    diagonal, couplings, constant = ask_for_several(submission, "train", shapes, **arguments)
    diagonal, couplings = there(diagonal), there(couplings)
    matrix = reference.precision_matrix(diagonal, couplings, *field)
    # A submission with an error that is known has fitted the Λ with that error.
    for said, wrong in errors.lattice(diagonal, couplings, *field):
        for function in LATTICE:
            if (function, said) in submission.charged:
                own = (wrong + wrong.T) / 2
                if problem.gap(own) < 0.9 * problem.gap(matrix):
                    matrix, where = own, submission.failed[function]
                    submission.remark(f"Judged by your own {function}, which is charged in “{where}” only.")
    return Fit(problem, matrix, problem.gap(matrix), constant)
