"""The fits that a submission makes: each made once, and judged by several items."""

from dataclasses import dataclass

import numpy as np

from grading.grader import reference
from grading.grader.judge import ask_for_several, closeness, own_matrices, require, there

# No sampled fit is as near: (nats of log Z for one fit, for two fits, nats of divergence from maximum likelihood).
TOO_EXACT = 2e-5, 2e-3, 1e-9
FROM_P_N = "noise_log_density"
MANY = 5  # functions
BUILT_ON, MOST = ("precision_matrix", "quadratic_form", FROM_P_N), 0.75


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted Λ, [D, D] or None if it is indefinite, its problem, and the learned log Z (a Lost if there is none)."""

    problem: object
    matrix: np.ndarray | None
    log_partition: object

    def require_positive_definite(self):
        require(self.matrix is not None, "The fitted Λ is not positive definite, so it defines no density to judge.")

    def require_fitted(self):
        """So that nothing is earned by handing back a Λ whose log Z or eigenvalues are known beforehand."""
        self.require_positive_definite()
        require(
            self.problem.gap(self.matrix) < 0.9 * self.problem.none,
            "The fitted Λ is hardly better than independent pixels, so there is nothing to judge yet.",
        )


def fit(submission, estimator, problem):
    """The `Fit` of a problem by "nce" or "second"; Lost, each time anew, if there is none.

    Λ that was recorded in another grading may be near the one asked for here; what goes with it is not.
    """
    require(
        submission.right or len(submission.wrong) < MANY,
        "None of your answers was right for what was drawn here, so your fits are taken for those of other images.",
    )
    return submission.once(("fit", estimator, id(problem)), lambda: _train(submission, estimator, problem))


def judge_fit(submission, fit, full, hint=""):
    """Points for the nats that a fit is short of the best."""
    fit.require_positive_definite()
    gap = fit.problem.gap(fit.matrix)
    said = f"The fit is {max(gap, 0):.3g} nats per image below the ceiling; up to {full:g} is near enough."
    _give(submission, fit, f"{said} {hint}".strip(), said, closeness(gap, full, fit.problem.none))


def judge_constant(submission, problem, full, none):
    """Points for the learned log Z, held against that of the fitted Λ."""
    result = fit(submission, "nce", problem)
    result.require_fitted()
    learned = float(there(result.log_partition))
    signed = learned - reference.log_partition(result.matrix)
    pixels = len(result.matrix)
    for constant in (0.5 * (pixels - 1) * np.log(2 * np.pi), 0.5 * pixels * np.log(2 * np.pi)):
        if FROM_P_N in submission.failed and abs(signed - constant) < full:
            submission.remark(f"Off by {constant:.4g}, as your log p_n is: see “{submission.failed[FROM_P_N]}”.")
            signed -= constant
    side = "above" if signed > 0 else "below"
    said = f"The learned log Z is {abs(signed):.3g} nats {side} that of the fitted Λ; up to {full:g} is near enough."
    # A constant is worth as much as the fit that it belongs to: one of other images, say, is worth nothing.
    worth = closeness(problem.gap(result.matrix), problem.none / 8, problem.none)
    _give(submission, result, said, said, min(worth, closeness(abs(signed), full, none)))
    gaps = submission.once("gaps of log Z", list)
    gaps.append(abs(signed))
    if min(gaps) < TOO_EXACT[0] or sum(gap < TOO_EXACT[1] for gap in gaps) > 1:
        _note(submission, "the learned log Z agrees with the exact one to more digits than sampling allows")


def _give(submission, fit, short, said, share):
    """The points; most of them where the fit, better than none, is built on a function that was charged before."""
    charged = next((function for function, _ in submission.charged if function in BUILT_ON), None)
    if charged and share < MOST and fit.problem.gap(fit.matrix) < 0.9 * fit.problem.none:
        short, share = f"{short} Mildly charged: {charged} is in “{submission.failed[charged]}”.", MOST
    require(share == 1, short, share)
    submission.remark(said)


def _note(submission, what):
    note = f"NOTE for the teacher: {what}. Look at how `train` comes by it."
    if note not in submission.notes:
        submission.notes.append(note)


def _train(submission, estimator, problem):
    height, width = problem.images.shape[1:]
    directions = problem.connectivity // 2
    seed = int(submission.random(f"seed of {estimator}").integers(2**31))
    arguments = {"estimator": estimator, "images": problem.images, "connectivity": problem.connectivity, "seed": seed}
    field = (height, width)
    shapes = {"diagonal": [(), field], "couplings": [(directions,), (directions, *field)], "log Z": [()]}
    diagonal, couplings, constant = ask_for_several(submission, "train", shapes, **arguments)
    diagonal, couplings = there(diagonal), there(couplings)
    matrix = reference.precision_matrix(diagonal, couplings, height, width)
    found = {"reference": matrix}
    for source, own in own_matrices(submission, diagonal, couplings, height, width):
        if source in {function for function, _ in submission.charged}:  # for an error that is known, and no other
            found[source] = own
    best = min(found, key=lambda source: _gap(problem, found[source]))
    if best != "reference" and _gap(problem, found[best]) < 0.9 * _gap(problem, matrix):
        matrix = found[best]
        submission.remark(f"Judged by your own {best}, which is charged in “{submission.failed[best]}” only.")
    if not reference.is_positive_definite(matrix):
        return Fit(problem, None, constant)
    if estimator == "nce" and abs(reference.divergence(problem.likeliest, matrix)) < TOO_EXACT[2]:
        _note(submission, "the fit by NCE is that of exact maximum likelihood, to more digits than sampling allows")
    return Fit(problem, matrix, constant)


def _gap(problem, matrix):
    return problem.gap(matrix) if reference.is_positive_definite(matrix) else np.inf
