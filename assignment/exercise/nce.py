"""What part `nce` tells its two fits, and what it adds to them: p_n, the log-ratios, the way of log Z."""

from __future__ import annotations

from typing import Any

import numpy as np

from assignment.exercise.data import ExerciseData, Found, Trained, double, gaussian, log_partition
from assignment.exercise.record import NEAR
from assignment.exercise.settings import Settings
from assignment.fits import telescoped_nce
from assignment.objectives.nce import NCE, noise_ratio_from
from assignment.objectives.noise import diagonal_noise
from assignment.seeds import seed_pair

# COMPARED: held-out images, and as many noise images, whose log-ratios are kept; fewer of large images.
COMPARED, COMPARED_PIXELS = 2000, 2**24
SNAPSHOTS = 40  # of the weights on the way of the fixed fit
SHOWN_STAGES = 6


def fixed_noise(data: ExerciseData, settings: Settings) -> dict[str, Any]:
    """The arguments of `fit_nce`: the diagonal p_n that was asked for, ν, and how long."""
    noise = diagonal_noise(data.train.images, settings.noise_variance, settings.noise_scale)
    return noise_ratio(data, settings) | {"noise": noise, "epochs": settings.epochs, "snapshots": SNAPSHOTS}


def noise_ratio(data: ExerciseData, settings: Settings) -> dict[str, float]:
    """ν = 1/η − 1, the argument of both fits."""
    return {"noise_ratio": noise_ratio_from(settings.eta)}


def fixed_findings(trained: Trained) -> Found:
    """Of NCE with a fixed noise: whether the classifier was ever in doubt."""
    settings, layer, result, history = trained.settings, trained.layer, trained.result, trained.result.history
    chosen = fixed_noise(trained.data, settings)
    estimator = NCE(chosen["noise"], chosen["noise_ratio"], result.log_partition)
    images = _compared(trained.data)
    drawn = chosen["noise"].sample(len(images), seed=seed_pair(settings.seed, "compared images"))
    on_data, on_noise = (estimator.log_ratio(result.model, x).numpy() for x in (images, drawn))
    border = np.log(chosen["noise_ratio"])
    confused, loss = 0.5 * float(np.mean(on_data < border) + np.mean(on_noise > border)), float(history["loss"][-1])
    words = (
        f"diagonal Gaussian, {settings.noise_variance} variances of the training images times {settings.noise_scale:g}"
    )
    facts = {
        "noise": _noise_facts(words, settings, scale=settings.noise_scale),
        "status": _verdict(trained, confused, loss),
        "confused": confused,
        "final_loss": loss,
        "halvings": int(history["halvings"]),
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
    settings, layer, history = trained.settings, trained.layer, trained.result.history
    thetas, seed = double(history["stage_theta"]), settings.seed
    exact = [log_partition(layer, theta) for theta in thetas]
    shown = sorted({round(stage) for stage in np.linspace(0, len(thetas) - 1, SHOWN_STAGES)})
    on_data, on_noise = _last_log_ratios(trained, thetas[-2:], history["stage_log_partition"][-2:])
    words = f"Gaussian of the same lattice, moved with the fit in {len(thetas) - 1} stages from the diagonal one"
    facts = {
        "noise": _noise_facts(words, settings, stages=len(thetas) - 1),
        "halvings": int(history["halvings"]),
        "settings": {
            "stage_spread": telescoped_nce.STAGE_SPREAD,
            "noise_decision": telescoped_nce.NOISE_SPREAD,
            "reach": telescoped_nce.REACH,
            "passes": int(history["passes"]),
        },
    }
    mean, same = trained.data.train.mean, seed_pair(seed, "samples", 1)
    return facts, {
        "learned_log_partition": history["log_partition"],
        "exact_steps": np.maximum(history["stage_step"], 1),
        "exact_log_partition": exact,
        "data_log_ratio": on_data,
        "noise_log_ratio": on_noise,
        "stage_learned": history["stage_log_partition"],
        "stage_exact": exact,
        "stage_standard_error": history["stage_standard_error"],
        "stage_spread": history["stage_spread"],
        "stage_overlap": history["stage_overlap"],
        "stage_held_out": [trained.data.held_out(layer, theta) for theta in thetas],
        # The same ε through the Gaussian of each.
        "stage_samples": [gaussian(layer, thetas[stage], mean).sample(seed=same) for stage in shown],
        "stage_samples_at": shown,
    }


def _noise_facts(words, settings, **more):
    return {"words": words, "ratio": noise_ratio_from(settings.eta), "eta": settings.eta} | more


def _compared(data):
    images = data.test.images
    return images[: max(1, min(COMPARED, COMPARED_PIXELS // images[0].size))]


def _last_log_ratios(trained, thetas, constants):
    """G of the fit against the stage before it, on held-out images and on as many samples of that stage."""
    images = double(_compared(trained.data))
    before, after = (gaussian(trained.layer, theta) for theta in thetas)
    drawn = before.sample(len(images), seed=seed_pair(trained.settings.seed, "compared images"))
    rise = constants[1] - constants[0]
    return [(after.unnormalized_log_prob(x) - before.unnormalized_log_prob(x) - rise).numpy() for x in (images, drawn)]


def _verdict(trained, confused, loss):
    """ "converged" only if the fit is near the ceiling and c near log Z; else what happened, in words and numbers."""
    data, layer = trained.data, trained.layer
    off = trained.result.log_partition - log_partition(layer, layer.theta)
    below = data.held_out(data.maximum_likelihood(layer.connectivity, layer.weighting)[0]) - data.held_out(layer)
    if abs(off) < NEAR and below < NEAR:
        return "converged"
    side = "above" if off > 0 else "below"
    return (
        f"failed: {100 * confused:.2g} % of images are on the wrong side of the classifier and its loss is {loss:.1e}, "
        f"yet the fit is {below:.1f} nats below the ceiling and c is {abs(off):.1f} nats {side} log Z"
    )
