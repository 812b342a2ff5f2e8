"""From a fitted layer to the files of the contract: facts (JSON) and arrays (NPZ)."""

import importlib.metadata
import platform
from pathlib import Path

import numpy as np
import tensorflow as tf

from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.stencil import weight_pixels
from assignment.reporting.results import fit_name, save_fit

SHOWN = 16  # images of data and samples kept beside a fit
NEAR = 1.0  # nats; a fit whose held-out likelihood, or whose c, is further off than this has failed


def save(exercise, settings, part, estimator, variant, layer, *, seconds, steps, facts=None, arrays=None, learned=None):
    """Saves one fit; see contract.md for what is in it.

    Args:
      learned: (c, its standard error or None) where the estimator learns log Z.
      facts, arrays: what the estimator adds or overrides.

    Returns:
      The `reporting.results.Fit`.
    """
    exact = exercise.exact_copy(layer)
    log_partition = float(LatticeGaussian(exact).log_partition())
    estimate, error = learned or (None, None)
    held_out = exercise.held_out(layer)
    ceiling = exercise.held_out(exercise.maximum_likelihood(layer.connectivity, layer.weighting)[0])
    record = {
        "part": part,
        "estimator": estimator,
        "variant": variant,
        "connectivity": layer.connectivity,
        "weights": layer.weighting,
        "optimizer": settings.optimizer,
        "seed": settings.seed,
        "steps": steps,
        "seconds": seconds,
        "dataset": dataset_facts(exercise),
        "noise": None,
        "stencil": stencil_facts(layer),
        "log_partition": {
            "estimate": estimate,
            "standard_error": error,
            "exact": log_partition,
            "gap": None if estimate is None else estimate - log_partition,
        },
        "held_out": {"log_likelihood": held_out, "maximum_likelihood": ceiling, "gap": ceiling - held_out},
        "min_eigenvalue": float(exact.operator().min_eigenvalue()),
        "status": "converged",
        "request": request(settings),
        "versions": versions(),
    } | (facts or {})
    if record["status"] == "converged" and ceiling - held_out > NEAR:
        record["status"] = f"failed: the fit is {ceiling - held_out:.1f} nats below the ceiling"
    name = fit_name_for(estimator, variant, settings)
    everything = common_arrays(exercise, exact, settings.seed) | {"log_partition": np.float64(np.nan)}
    if estimate is not None:
        everything["log_partition"] = np.float64(estimate)
    return save_fit(folder(settings, exercise, part), name, record, everything | (arrays or {}))


def request(settings):
    """What was asked for, as far as it decides the fit: a fit is made again where this has changed."""
    names = ("connectivity", "weights", "optimizer", "seed", "noise_variance", "noise_scale", "eta", "epochs")
    return {name: getattr(settings, name) for name in names}


def fit_name_for(estimator, variant, settings):
    """The contract's name, with the noise's settings added where they are not the defaults."""
    optimizer = "adam" if estimator == "ml" else settings.optimizer
    name = fit_name(estimator, variant, settings.weights, settings.connectivity, optimizer, settings.seed)
    if estimator == "nce":
        name += f"-{settings.noise_variance}" if settings.noise_variance != "per_pixel" else ""
        name += f"-scale{settings.noise_scale:g}" if settings.noise_scale != 1 else ""
        name += f"-eta{settings.eta:g}" if settings.eta != 0.5 else ""
    return name


def folder(settings, exercise, part):
    """Where a part's fits stand: <output>/results/<dataset>/<part>."""
    return Path(settings.output) / "results" / exercise.train.name / part


def dataset_facts(exercise):
    train = exercise.train
    return {
        "name": train.name,
        "source": train.source,
        "images": len(train),
        "test_images": len(exercise.test),
        "sha256": train.sha256,
        "fallback": exercise.fallback,
    }


def stencil_facts(layer):
    if not layer.shared:
        return None
    return {"diagonal": float(layer.diagonal), "couplings": [float(c) for c in layer.couplings]}


def versions():
    packages = ("tensorflow", "tensorflow-probability", "tensorflow-datasets", "keras", "numpy")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def common_arrays(exercise, layer, seed):
    """Λ, samples beside data, and one pixel's covariance, fitted and empirical."""
    mean = exercise.train.mean
    height, width = exercise.size
    rows, columns = weight_pixels(layer.connectivity, height, width)
    values = np.repeat(layer.theta.numpy(), layer.edge_counts) if layer.shared else layer.theta.numpy()
    off = rows != columns
    pixel = (height // 2) * width + width // 2
    unit = tf.one_hot(pixel, layer.pixels, dtype=tf.float64)
    gaussian = LatticeGaussian(layer, mean=mean)
    return {
        "mean": mean,
        "rows": np.concatenate([rows, columns[off]]),
        "cols": np.concatenate([columns, rows[off]]),
        "values": np.concatenate([values, values[off]]).astype(np.float64),
        "samples": gaussian.sample(SHOWN, seed=(seed, 1)).numpy().astype(np.float32),
        "data": exercise.train.take(SHOWN) + mean,
        "diagonal": layer.diagonal.numpy(),
        "couplings": layer.couplings.numpy(),
        "covariance_pixel": np.array([height // 2, width // 2]),
        "covariance_fitted": layer.operator().solvevec(unit).numpy().reshape(height, width),
        "covariance_empirical": exercise.second_moments[pixel].reshape(height, width),
        "test_log_likelihood": np.concatenate(
            [gaussian.log_prob(tf.cast(chunk + mean, tf.float64)) for chunk in exercise.test.chunks()]
        ),
        "conditional_log_likelihood": conditional_log_likelihood(layer, exercise.test_second_moments),
    }


def conditional_log_likelihood(layer, second_moments):
    """E[log p(x_i | all other pixels)] over images with E[xxᵀ] = `second_moments`, in nats, [H, W].

    Given the others, x_i is Gaussian with variance 1/Λ_ii about x_i − (Λx)_i/Λ_ii (Besag 1975).
    """
    precision = layer.to_dense().numpy()
    diagonal = np.diag(precision)
    residual = np.einsum("ij,jk,ik->i", precision, second_moments, precision, optimize=True)
    values = 0.5 * np.log(diagonal / (2 * np.pi)) - 0.5 * residual / diagonal
    return values.reshape(layer.height, layer.width)
