"""Gaussian models of images whose precision is a lattice, estimated with and without the normalising constant.

The public names are imported when first asked for, so that `python -m assignment --help` does not wait for TensorFlow.
"""

import importlib

from assignment.errors import did_you_mean

_HOME = {
    "load_images": "assignment.data",
    "StencilPrecision": "assignment.lattice.precision",
    "LatticeGaussian": "assignment.lattice.gaussian",
    "NCE": "assignment.estimators.nce",
    "ConditionalNCE": "assignment.estimators.conditional_nce",
    "ScoreMatching": "assignment.estimators.score_matching",
    "MaximumLikelihood": "assignment.estimators.maximum_likelihood",
    "fit": "assignment.fit",
}
__all__ = list(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'assignment' has no attribute {name!r}{did_you_mean(name, _HOME)}")
    return getattr(importlib.import_module(_HOME[name]), name)
