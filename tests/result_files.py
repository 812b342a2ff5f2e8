"""Small saved fits of the right form, for the tests of the reports."""

import numpy as np

from assignment.lattice.stencil import weight_pixels, weight_sizes
from assignment.results import fit_name, save_fit

SIZE = (6, 6)
CEILING = 20.0
STENCIL = (4.5, -1.0, -1.1, 0.4, 0.1)


def record(estimator="nce", variant="telescoped", weights="shared", connectivity=4, part="nce", learned=-5.0, **more):
    """The facts of a fit; `more` replaces or adds some."""
    diagonal, *couplings = STENCIL[: 1 + connectivity // 2]
    learned = learned if estimator == "nce" else None
    noise = {"nce": {"words": "Gaussian", "ratio": 1.0}, "cnce": {"words": "Gaussian", "epsilon": 0.1}}
    return {
        **dict(part=part, estimator=estimator, variant=variant, weights=weights, connectivity=connectivity),
        **dict(optimizer="adam", seed=0, steps=30, seconds=1.25, status="converged", settings={}),
        "dataset": dict(name="mnist", source="made up", images=100, test_images=50, sha256="0" * 64, fallback=False),
        "noise": noise.get(estimator),
        "log_partition": {
            "estimate": learned,
            "exact": -5.1,
            "gap": None if learned is None else learned + 5.1,
            "standard_error": 0.08 if (estimator, variant) == ("nce", "telescoped") else None,
        },
        "held_out": {"log_likelihood": CEILING - 0.5, "maximum_likelihood": CEILING, "gap": 0.5},
        "min_eigenvalue": 0.31,
        "versions": {"python": "3.11"},
        "stencil": {"diagonal": diagonal, "couplings": couplings} if weights == "shared" else None,
        **more,
    }


def arrays(estimator="nce", variant="telescoped", weights="shared", connectivity=4, size=SIZE):
    """The arrays of a fit."""
    normal = np.random.default_rng(0).standard_normal
    rows, cols = weight_pixels(connectivity, *size)
    sizes = weight_sizes(connectivity, *size)
    diagonal, *couplings = STENCIL[: len(sizes)]
    entries, off = np.repeat([diagonal, *couplings], sizes), rows != cols
    found = {
        "mean": normal(size),
        "rows": np.concatenate([rows, cols[off]]),
        "cols": np.concatenate([cols, rows[off]]),
        "values": np.concatenate([entries, entries[off]]),
        "log_partition": np.float64(-5.0 if estimator == "nce" else np.nan),
        "samples": normal((20, *size)),
        "data": normal((20, *size)),
        "loss": np.exp(-np.arange(30) / 10),
        "covariance_pixel": np.array(size) // 2,
        "covariance_fitted": normal(size),
        "covariance_empirical": normal(size),
        "conditional_log_likelihood": normal(size),
        "test_log_likelihood": normal(50) + connectivity,
        "diagonal": np.float64(diagonal) if weights == "shared" else normal(size),
        "couplings": np.array(couplings) if weights == "shared" else normal((len(couplings), *size)),
    }
    if (estimator, variant) == ("nce", "fixed"):
        found |= {"learned_log_partition": np.linspace(-9, -5, 30), "exact_steps": np.arange(0, 30, 10)}
        found |= {"exact_log_partition": np.linspace(-9, -5.1, 3)}
        found |= {"data_log_ratio": normal(100), "noise_log_ratio": normal(100) - 1}
    if (estimator, variant) == ("nce", "telescoped"):
        found |= {
            "stage_learned": np.linspace(-9, -5, 8),
            "stage_standard_error": np.linspace(0, 0.08, 8),
            "stage_exact": np.linspace(-9, -5.1, 8),
            "stage_spread": abs(normal(7)) + 0.5,
            "stage_overlap": np.linspace(0.3, 0.7, 7),
            "stage_held_out": CEILING - np.exp(-np.arange(8.0)),
            "stage_samples": normal((4, *size)),
            "stage_samples_at": np.array([0, 2, 4, 7]),
        }
    if estimator == "cnce":
        found |= {"epsilon": np.geomspace(0.01, 1, 5), "epsilon_loss": normal(5), "epsilon_held_out": normal(5)}
    return found


def write_fit(
    root, part="nce", estimator="nce", variant="telescoped", weights="shared", connectivity=4, size=SIZE, **more
):
    """Saves a fit in the folder of its part within `root`; returns it."""
    kind = estimator, variant, weights, connectivity
    return save_fit(root / part, fit_name(*kind), record(*kind, part, **more), arrays(*kind, size))
