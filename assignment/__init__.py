"""Gaussian models of images whose precision is a lattice, estimated with and without the normalising constant.

The public names are imported when first asked for, so that `python -m assignment --help` does not wait for TensorFlow.
No submodule may bear one of them: importing it would put the module in the place of the function.
"""

import importlib
from typing import Any

from assignment.errors import did_you_mean
from assignment.exercise.estimators import ESTIMATORS

_HOME = {
    "load_images": "data",
    "StencilPrecision": "lattice.precision",
    "LatticeGaussian": "lattice.gaussian",
    "NCE": "objectives.nce",
    "TelescopedNCE": "objectives.telescoped_nce",
    "ConditionalNCE": "objectives.conditional_nce",
    "ScoreMatching": "objectives.score_matching",
    "MaximumLikelihood": "objectives.maximum_likelihood",
    "FitResult": "fits.result",
    "fit": "fits.fixed_nce",
    **{row.fit: f"fits.{row.module}" for row in ESTIMATORS},  # fit_nce, fit_telescoped_nce, …
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'assignment' has no attribute {name!r}{did_you_mean(name, _HOME)}")
    return getattr(importlib.import_module(f"assignment.{_HOME[name]}"), name)
