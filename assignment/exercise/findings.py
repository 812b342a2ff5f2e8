"""What the rows of the table of estimators tell their fits, and what they add to what is saved of every fit."""

from typing import Any

import numpy as np

from assignment.exercise.data import ExerciseData, Found, Trained, as_float64, gaussian, log_partition
from assignment.exercise.settings import Settings
from assignment.fits import telescoped_nce
from assignment.fits.conditional_nce import scan_epsilon
from assignment.objectives.nce import NCE, noise_ratio_from
from assignment.objectives.noise import diagonal_noise
from assignment.seeds import seed_pair

# COMPARED: held-out images, and as many noise images, whose log-ratios are kept; fewer of large images.
COMPARED, COMPARED_PIXELS = 2000, 2**24
SNAPSHOTS = 40  # of the weights on the way of the fixed fit
SHOWN_STAGES = 6
_COVARIANCES = {"isotropic": "the identity", "matched": "the present fit's covariance"}


def fixed_noise(data: ExerciseData, settings: Settings) -> dict[str, Any]:
    """The arguments of `fit_nce`: the diagonal p_n that was asked for, ν, and how long."""
    noise = diagonal_noise(data.train.images, settings.noise_variance, settings.noise_scale)
    return noise_ratio(data, settings) | {"noise": noise, "epochs": settings.epochs, "snapshots": SNAPSHOTS}


def noise_ratio(data: ExerciseData, settings: Settings) -> dict[str, float]:
    """ν = 1/η − 1, the argument of both fits."""
    return {"noise_ratio": noise_ratio_from(settings.eta)}


def fixed_findings(trained: Trained) -> Found:
    """Of NCE with a fixed noise: whether the classifier was ever in doubt."""
    settings, layer, result, images = trained.settings, trained.layer, trained.result, trained.data.test.images
    chosen = fixed_noise(trained.data, settings)
    noise, ratio = chosen["noise"], chosen["noise_ratio"]
    estimator = NCE(noise, ratio, result.log_partition)
    images = images[: max(1, min(COMPARED, COMPARED_PIXELS // images[0].size))]
    drawn = noise.sample(len(images), seed=seed_pair(settings.seed, "compared images"))
    on_data, on_noise = (estimator.log_ratio(result.model, x).numpy() for x in (images, drawn))
    history, scale = result.history, settings.noise_scale
    words = f"diagonal Gaussian, {settings.noise_variance} variances of the training images times {scale:g}"
    facts = {
        "noise": {"words": words, "ratio": ratio, "eta": settings.eta, "scale": scale},
        "confused": 0.5 * float(np.mean(on_data < np.log(ratio)) + np.mean(on_noise > np.log(ratio))),
        "final_loss": float(history["loss"][-1]),
    }
    return facts, {
        "learned_log_partition": history["log_partition"],
        "exact_steps": history["snapshot_step"],
        "exact_log_partition": [log_partition(layer, theta) for theta in history["snapshot_theta"]],
        "data_log_ratio": on_data,
        "noise_log_ratio": on_noise,
    }


def telescoped_findings(trained: Trained) -> Found:
    """Of telescoped NCE: its stages, with the exact log Z and the held-out likelihood of each."""
    data, layer, history, eta = trained.data, trained.layer, trained.result.history, trained.settings.eta
    thetas, stages = as_float64(history["stage_theta"]), len(history["stage_theta"]) - 1
    shown = sorted({round(stage) for stage in np.linspace(0, stages, SHOWN_STAGES)})
    same = seed_pair(trained.settings.seed, "samples", 1)  # the same ε through the Gaussian of each
    words = f"Gaussian of the same lattice, moved with the fit in {stages} stages from the diagonal one"
    facts = {
        "noise": {"words": words, "ratio": noise_ratio_from(eta), "eta": eta, "stages": stages},
        "settings": {
            "stage_spread": telescoped_nce.STAGE_SPREAD,
            "noise_spread": telescoped_nce.NOISE_SPREAD,
            "reach": telescoped_nce.REACH,
            "passes": int(history["passes"]),
        },
    }
    return facts, {
        "stage_learned": history["stage_log_partition"],
        "stage_exact": [log_partition(layer, theta) for theta in thetas],
        "stage_standard_error": history["stage_standard_error"],
        "stage_spread": history["stage_spread"],
        "stage_overlap": history["stage_overlap"],
        "stage_held_out": [data.held_out(layer, theta) for theta in thetas],
        "stage_samples": [gaussian(layer, thetas[stage], data.train.mean).sample(seed=same) for stage in shown],
        "stage_samples_at": shown,
    }


def sm_findings(trained: Trained) -> Found:
    """The least eigenvalue of the unconstrained optimum of plain score matching, where it was found."""
    least = trained.result.history.get("optimum_min_eigenvalue")
    return ({} if least is None else {"closed_form_min_eigenvalue": float(least)}), {}


def cnce_findings(trained: Trained) -> Found:
    """The same, and ε; and for shared weights, in every part but `bonus8`, what other ε would have given."""
    facts, arrays = sm_findings(trained)
    data, layer, variant, epsilon = trained.data, trained.layer, trained.row.variant, trained.result.history["epsilon"]
    words = f"Gaussian about each image, ε² times {_COVARIANCES[variant]}"
    if layer.shared and trained.part != "bonus8":  # That part has many fits.
        arrays = scan_epsilon(layer, data.train, data.test, variant, seed=trained.settings.seed)
    noise = {"words": words, "epsilon": float(epsilon[-1])}
    return facts | {"noise": noise}, arrays
