"""From a fit to its two files, facts (JSON) and arrays (NPZ): what `assignment.results` says of all fits.

And what each row of the table of estimators tells its fit beforehand, and adds to what is saved of it.
"""

import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from assignment.data.minibatches import chunks
from assignment.exercise.data import ExerciseData
from assignment.exercise.estimators import Estimator
from assignment.exercise.settings import Settings, noise_changes
from assignment.fits import telescoped_nce
from assignment.fits.conditional_nce import scan_epsilon
from assignment.fits.result import CONVERGED, FitResult
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.stencil import weight_pixels
from assignment.objectives.nce import NCE, diagonal_noise, noise_ratio_from
from assignment.results import Fit, fit_name, save_fit
from assignment.seeds import seed_pair

SHOWN = 16  # images of data and samples kept beside a fit
NEAR = 1.0  # nats: a fit further below the ceiling has failed, and NCE with a fixed noise if c is so far from log Z
_PACKAGES = ("tensorflow", "tensorflow-probability", "tensorflow-datasets", "keras", "numpy")
# COMPARED: held-out images, and as many noise images, whose log-ratios are kept; fewer of large images.
COMPARED, COMPARED_PIXELS = 2000, 2**24
SHOWN_STAGES = 6
_COVARIANCES = {"isotropic": "the identity", "matched": "the present fit's covariance"}

Found = tuple[dict[str, Any], dict[str, Any]]  # facts and arrays


@dataclass(frozen=True, eq=False)
class Trained:
    """One fit that is done, and what it was made of; `part` is the part in whose folder it is kept."""

    data: ExerciseData
    row: Estimator
    part: str
    settings: Settings
    layer: StencilPrecision
    result: FitResult
    seconds: float


def save(trained: Trained, facts: dict[str, Any], arrays: dict[str, Any]) -> Fit:
    """Saves one fit; `facts` and `arrays` are what its estimator adds, or puts in the place of what all have."""
    record = _facts(trained) | facts
    record["status"] = _status(record)
    where, name = folder(trained.settings, trained.data, trained.part), fit_name_for(trained.row, trained.settings)
    return save_fit(where, name, record, _arrays(trained) | arrays)


def _status(record):
    """How the fit ended: "failed: …" where it is far below the ceiling or, with a fixed noise, c far from log Z."""
    status, below, off = record["status"], record["held_out"]["gap"], record["log_partition"]["gap"]
    if "confused" not in record:
        failed = f"failed: the fit is {below:.1f} nats below the ceiling"
        return status.replace(CONVERGED, failed, 1) if status.startswith(CONVERGED) and below > NEAR else status
    if abs(off) < NEAR and below < NEAR:
        return status
    return (
        f"failed: {100 * record['confused']:.2g} % of images are on the wrong side of the classifier and its loss is "
        f"{record['final_loss']:.1e}, yet the fit is {below:.1f} nats below the ceiling and c is {abs(off):.1f} nats "
        f"{'above' if off > 0 else 'below'} log Z"
    )


def folder(settings: Settings, data: ExerciseData, part: str) -> Path:
    """Where a part's fits stand: <output>/results/<data set>/<part>."""
    return Path(settings.output) / "results" / data.train.name / part


def request(settings: Settings) -> dict[str, Any]:
    """What was asked for, as far as it decides the fit: a fit is made again where this has changed."""
    names = ("connectivity", "weights", "optimizer", "seed", "noise_variance", "noise_scale", "eta", "epochs")
    return {name: getattr(settings, name) for name in names}


def fit_name_for(row: Estimator, settings: Settings) -> str:
    """The name of a fit's files, with the noise's settings added where they are not the defaults."""
    optimizer = settings.optimizer if row.minibatches else Settings.optimizer
    name = fit_name(row.name, row.variant, settings.weights, settings.connectivity, optimizer, settings.seed)
    changes = noise_changes(request(settings)) if row.name == "nce" else []
    return "-".join([name, *(words.replace(" ", "") for words in changes)])


def _facts(trained):
    data, settings, row, layer, result = trained.data, trained.settings, trained.row, trained.layer, trained.result
    exact, estimate = log_partition(layer, layer.theta), result.log_partition
    held_out = data.held_out(layer)
    ceiling = data.held_out(data.maximum_likelihood(layer.connectivity, layer.weighting)[0])
    return {
        "part": trained.part,
        "estimator": row.name,
        "variant": row.variant,
        "connectivity": layer.connectivity,
        "weights": layer.weighting,
        "optimizer": settings.optimizer if row.minibatches else "fisher_scoring",
        "seed": settings.seed,
        "steps": len(result.history["loss"]) - (not row.minibatches),  # that one's history has the start as well
        "seconds": trained.seconds,
        "dataset": {
            "images": len(data.train.images),
            "test_images": len(data.test.images),
            **{key: getattr(data.train, key) for key in ("name", "source", "sha256", "fallback")},
        },
        "noise": None,
        "stencil": {"diagonal": layer.diagonal.numpy(), "couplings": layer.couplings.numpy()} if layer.shared else None,
        "log_partition": {
            "estimate": estimate,
            "standard_error": result.standard_error,
            "exact": exact,
            "gap": None if estimate is None else estimate - exact,
        },
        "held_out": {"log_likelihood": held_out, "maximum_likelihood": ceiling, "gap": ceiling - held_out},
        "min_eigenvalue": float(layer.operator(as_float64(layer.theta)).min_eigenvalue()),
        "status": result.status,
        "suboptimality": result.suboptimality,
        "request": request(settings),
        "versions": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in _PACKAGES},
    }


def _arrays(trained):
    """Λ, samples beside data, one pixel's covariance, how likely the test images are, and the training."""
    data, layer, result = trained.data, trained.layer, trained.result
    mean, theta, (height, width) = data.train.mean, as_float64(layer.theta), data.train.mean.shape
    rows, columns = weight_pixels(layer.connectivity, height, width)
    values = np.repeat(theta, layer.edge_counts) if layer.shared else theta
    off = rows != columns
    operator, middle = layer.operator(theta), (height // 2, width // 2)
    unit = tf.one_hot(middle[0] * width + middle[1], layer.pixels, dtype=tf.float64)
    likelihoods, conditional = _likelihoods(operator, data.test.images)
    samples = gaussian(layer, theta, mean).sample(SHOWN, seed=seed_pair(trained.settings.seed, "samples"))
    return {
        "mean": mean,
        "rows": np.concatenate([rows, columns[off]]),
        "cols": np.concatenate([columns, rows[off]]),
        "values": np.concatenate([values, values[off]]),
        "samples": as_float64(samples).astype(np.float32),
        "data": data.train.images[:SHOWN] + mean,
        "diagonal": layer.diagonal.numpy(),
        "couplings": layer.couplings.numpy(),
        "covariance_pixel": middle,
        "covariance_fitted": operator.solvevec(unit).numpy().reshape(height, width),
        "covariance_empirical": data.middle_covariance(),
        "test_log_likelihood": likelihoods,
        "conditional_log_likelihood": conditional,
        "log_partition": np.nan if result.log_partition is None else result.log_partition,
        "loss": result.history["loss"],
    }


def _likelihoods(operator, images):
    """log p of each image, [N], and E[log p(x_i | all other pixels)] over them, [H, W].

    Given the others, x_i is Gaussian with variance 1/Λ_ii about x_i − (Λx)_i/Λ_ii (Besag 1975).
    """
    model, log_densities, squares = LatticeGaussian(operator), [], 0.0
    for x in map(as_float64, chunks(images)):
        score = model.score(x).numpy()  # −Λx
        log_densities.append(0.5 * np.einsum("nhw,nhw->n", x, score))
        squares += np.einsum("nhw,nhw->hw", score, score)
    diagonal = as_float64(operator.diag_part()).reshape(images.shape[1:])
    conditional = 0.5 * np.log(diagonal / (2 * np.pi)) - 0.5 * squares / (len(images) * diagonal)
    return np.concatenate(log_densities) - float(model.log_partition()), conditional


def as_float64(values: np.ndarray) -> np.ndarray:
    """The values in float64, as exact quantities are computed."""
    return np.asarray(values, np.float64)


def gaussian(layer: StencilPrecision, theta: np.ndarray, mean: np.ndarray | None = None) -> LatticeGaussian:
    """The Gaussian of other weights θ on the layer's lattice, in float64."""
    return LatticeGaussian(layer.operator(as_float64(theta)), mean=None if mean is None else as_float64(mean))


def log_partition(layer: StencilPrecision, theta: np.ndarray) -> float:
    """log Z of other weights θ, in float64."""
    return float(gaussian(layer, theta).log_partition())


def fixed_noise(data: ExerciseData, settings: Settings) -> dict[str, Any]:
    """The arguments of `fit_nce`: the diagonal p_n that was asked for, ν, and how long."""
    noise = diagonal_noise(data.train.images, settings.noise_variance, settings.noise_scale)
    return noise_ratio(data, settings) | {"noise": noise, "epochs": settings.epochs}


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
