"""The one table of estimators, in the order in which they are to be read; no TensorFlow is needed.

The command line, the parts, the labels and the report are made from it. A new estimator is an objective, a fit and a
row here, with words for its part where it begins one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Estimator:
    """One row.

    Attributes:
      name, variant: as in the names of files; the variant is None where there is only one.
      label, short_label: in figures and in narrow columns.
      module, fit: the function that fits it, and its module in `assignment.fits`; it is public in `assignment`.
      options: what that function is always given.
      chosen: "module:function" in `assignment.exercise`, which makes further arguments of the fit from what the user
        chose; called with (data, settings).
      found: "module:function", which returns (facts, arrays) to save beside what is saved of every fit; called with
        what was trained, an `assignment.exercise.data.Trained`.
      minibatches: whether it is trained by an optimizer on minibatches, which replicas may share.
    """

    name: str
    variant: str | None
    label: str
    short_label: str
    module: str
    fit: str
    options: Mapping[str, str] = field(default_factory=dict)
    chosen: str | None = None
    found: str | None = None
    minibatches: bool = True

    @property
    def kind(self) -> str:
        """Name and variant in one word, such as "nce-fixed"; "ml" where there is only one variant."""
        return "-".join(filter(None, [self.name, self.variant]))


# The parts of the command line that fit one estimator each.
ESTIMATING = {
    "nce": "noise-contrastive estimation: with fixed noise, and telescoped",
    "cnce": "conditional NCE, with isotropic and with matched noise",
    "sm": "score matching, plain and preconditioned",
    "ml": "exact maximum likelihood, the yardstick",
}
# fmt: off
ESTIMATORS = (
    Estimator("nce", "fixed", "NCE fixed", "NCE fixed",
              "fixed_nce", "fit_nce", chosen="nce:fixed_noise", found="nce:fixed_findings"),
    Estimator("nce", "telescoped", "NCE telescoped", "NCE telescoped",
              "telescoped_nce", "fit_telescoped_nce", chosen="nce:noise_ratio", found="nce:telescoped_findings"),
    Estimator("cnce", "isotropic", "cNCE isotropic", "cNCE isotropic",
              "conditional_nce", "fit_conditional_nce", {"variant": "isotropic"}, found="second:cnce_findings"),
    Estimator("cnce", "matched", "cNCE matched", "cNCE matched",
              "conditional_nce", "fit_conditional_nce", {"variant": "matched"}, found="second:cnce_findings"),
    Estimator("sm", "plain", "score matching plain", "SM plain",
              "score_matching", "fit_score_matching", {"variant": "plain"}, found="second:sm_findings"),
    Estimator("sm", "preconditioned", "score matching preconditioned", "SM preconditioned",
              "score_matching", "fit_score_matching", {"variant": "preconditioned"}, found="second:sm_findings"),
    Estimator("ml", None, "maximum likelihood", "ML, exact",
              "maximum_likelihood", "fit_maximum_likelihood", minibatches=False),
)
# fmt: on
