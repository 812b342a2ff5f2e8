"""From a fit to its two files: facts (JSON) and arrays (NPZ). `assignment.results` says what is in them."""

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from assignment.data.minibatches import chunks
from assignment.exercise.data import ExerciseData, Trained, as_float64, gaussian, log_partition
from assignment.exercise.estimators import Estimator
from assignment.exercise.settings import Settings, noise_changes
from assignment.fits.result import CONVERGED
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.stencil import weight_pixels
from assignment.results import Fit, fit_name, save_fit
from assignment.seeds import seed_pair

SHOWN = 16  # images of data and samples kept beside a fit
NEAR = 1.0  # nats: a fit further below the ceiling has failed, and NCE with a fixed noise if c is so far from log Z
_PACKAGES = ("tensorflow", "tensorflow-probability", "tensorflow-datasets", "keras", "numpy")


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
