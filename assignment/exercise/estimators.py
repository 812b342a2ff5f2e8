"""The one table of estimators, in the order in which they are to be read; no TensorFlow is needed.

The command line, the parts, the labels and the report are made from it. A new estimator is an objective, a fit and a
row here, with words for its part where it begins one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Estimator:
    """One row."""

    name: str  # as in the names of files
    variant: str | None  # None where there is only one
    label: str  # in tables and figures
    module: str  # in `assignment.fits`, where the next is
    fit: str  # the function that fits it, public in `assignment`
    options: Mapping[str, str] = field(default_factory=dict)  # what that function is always given
    # Functions in `assignment.exercise.record`: (data, settings) → further arguments of the fit, from what the user
    # chose; and (an `assignment.exercise.record.Trained`) → (facts, arrays) to save beside what is saved of every fit.
    arguments: str | None = None
    findings: str | None = None
    minibatches: bool = True  # whether an optimizer trains it on minibatches, which replicas may share


# The parts of the command line that fit one estimator each.
ESTIMATING = {
    "nce": "noise-contrastive estimation: with fixed noise, and telescoped",
    "cnce": "conditional NCE, with isotropic and with matched noise",
    "sm": "score matching, plain and preconditioned",
    "ml": "exact maximum likelihood, the yardstick",
}
# fmt: off
ESTIMATORS = (
    Estimator("nce", "fixed", "NCE fixed",
              "fixed_nce", "fit_nce", arguments="fixed_noise", findings="fixed_findings"),
    Estimator("nce", "telescoped", "NCE telescoped",
              "telescoped_nce", "fit_telescoped_nce", arguments="noise_ratio", findings="telescoped_findings"),
    Estimator("cnce", "isotropic", "cNCE isotropic",
              "conditional_nce", "fit_conditional_nce", {"variant": "isotropic"}, findings="cnce_findings"),
    Estimator("cnce", "matched", "cNCE matched",
              "conditional_nce", "fit_conditional_nce", {"variant": "matched"}, findings="cnce_findings"),
    Estimator("sm", "plain", "SM plain",
              "score_matching", "fit_score_matching", {"variant": "plain"}, findings="sm_findings"),
    Estimator("sm", "preconditioned", "SM preconditioned",
              "score_matching", "fit_score_matching", {"variant": "preconditioned"}, findings="sm_findings"),
    Estimator("ml", None, "ML, exact",
              "maximum_likelihood", "fit_maximum_likelihood", minibatches=False),
)
# fmt: on
