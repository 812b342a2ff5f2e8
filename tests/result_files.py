"""Small saved fits of the right form, for the tests of the reports."""

import numpy as np

from assignment.lattice.stencil import offsets, weight_pixels, weight_sizes
from assignment.results import fit_name, save_fit

SIZE = (6, 6)
CEILING = 20.0


def record(estimator="nce", variant="telescoped", weights="shared", connectivity=4, part="nce", learned=-5.0, **more):
    """The facts of a fit; `more` replaces or adds some."""
    shared = {"diagonal": 4.5, "couplings": [-1.0, -1.1, 0.4, 0.1][: len(offsets(connectivity))]}
    facts = {
        "part": part,
        "estimator": estimator,
        "variant": variant,
        "connectivity": connectivity,
        "weights": weights,
        "optimizer": "adam",
        "seed": 0,
        "steps": 30,
        "seconds": 1.25,
        "dataset": {
            "name": "mnist",
            "source": "made up",
            "images": 100,
            "test_images": 50,
            "sha256": "0" * 64,
            "fallback": False,
        },
        "noise": None if estimator in ("ml", "sm") else "per-pixel Gaussian",
        "log_partition": {
            "estimate": learned if estimator == "nce" else None,
            "exact": -5.1,
            "gap": learned + 5.1 if estimator == "nce" else None,
            "standard_error": 0.08 if (estimator, variant) == ("nce", "telescoped") else None,
        },
        "held_out": {"log_likelihood": CEILING - 0.5, "maximum_likelihood": CEILING, "gap": 0.5},
        "min_eigenvalue": 0.31,
        "versions": {"python": "3.11"},
        "stencil": shared if weights == "shared" else None,
        "settings": {},
        "status": "converged",
        "halvings": 0,
    }
    return facts | more


def arrays(estimator="nce", variant="telescoped", weights="shared", connectivity=4, seed=0, size=SIZE):
    """The arrays of a fit."""
    random = np.random.default_rng(seed)
    rows, cols = weight_pixels(connectivity, *size)
    sizes = weight_sizes(connectivity, *size)
    stencil = np.array([4.5, -1.0, -1.1, 0.4, 0.1])[: len(sizes)]
    entries = np.repeat(stencil, sizes)
    off = rows != cols
    found = {
        "mean": random.random(size),
        "rows": np.concatenate([rows, cols[off]]),
        "cols": np.concatenate([cols, rows[off]]),
        "values": np.concatenate([entries, entries[off]]),
        "log_partition": np.float64(-5.0 if estimator == "nce" else np.nan),
        "samples": random.standard_normal((20, *size)),
        "data": random.standard_normal((20, *size)),
        "loss": np.exp(-np.arange(30) / 10),
        "covariance_pixel": np.array(size) // 2,
        "covariance_fitted": random.standard_normal(size),
        "covariance_empirical": random.standard_normal(size),
        "conditional_log_likelihood": random.standard_normal(size),
        "test_log_likelihood": random.standard_normal(50) + connectivity,
        "diagonal": np.float64(stencil[0]) if weights == "shared" else random.random(size),
        "couplings": stencil[1:] if weights == "shared" else random.standard_normal((len(sizes) - 1, *size)),
    }
    if estimator == "nce":
        found |= _learned(random) | (_stages(random, size) if variant == "telescoped" else {})
    if estimator in ("cnce", "sm"):
        found |= {"epsilon": np.geomspace(0.01, 1, 5), "epsilon_loss": random.random(5)}
        found["epsilon_held_out"] = CEILING - random.random(5)
    return found


def write_fit(
    root, part="nce", estimator="nce", variant="telescoped", weights="shared", connectivity=4, size=SIZE, **more
):
    """Saves a fit in the folder of its part within `root`; returns it."""
    name = fit_name(estimator, variant, weights, connectivity)
    facts = record(estimator, variant, weights, connectivity, part, **more)
    return save_fit(root / part, name, facts, arrays(estimator, variant, weights, connectivity, size=size))


def _learned(random):
    return {
        "learned_log_partition": np.linspace(-9, -5, 30),
        "exact_steps": np.arange(0, 30, 10),
        "exact_log_partition": np.linspace(-9, -5.1, 3),
        "data_log_ratio": random.standard_normal(100),
        "noise_log_ratio": random.standard_normal(100) - 1,
    }


def _stages(random, size):
    return {
        "stage_learned": np.linspace(-9, -5, 8),
        "stage_standard_error": np.linspace(0, 0.08, 8),
        "stage_exact": np.linspace(-9, -5.1, 8),
        "stage_spread": random.random(7) + 0.5,
        "stage_overlap": random.random(7),
        "stage_held_out": CEILING - np.exp(-np.arange(8.0)),
        "stage_samples": random.standard_normal((4, *size)),
        "stage_samples_at": np.array([0, 2, 4, 7]),
    }
