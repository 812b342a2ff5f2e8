"""Fits on disk: the parts write them, the reports read them.

A fit is a pair of files in `results/<data set>/<part>/`: `<fit>.json` with its facts and `<fit>.npz` with its arrays.
`<fit>` is estimator-variant-weights-connectivity, see `fit_name`. A pair is written whole or not at all, and the same
fit gives the same bytes, but for `seconds`. All log-likelihoods and constants are in nats. `derivation.json` and
`bench.json` stand beside the data sets.

Facts (JSON). No number is NaN or infinite: null stands where there is none.

    part            "nce", "cnce", "sm", "second", "ml", "bonus8"
    estimator       "nce", "cnce", "sm", "ml"
    variant         nce: "fixed", "telescoped"; cnce: "isotropic", "matched"; sm: "plain", "preconditioned"; ml: null
    connectivity    4 or 8
    weights         "shared" or "per_edge"
    optimizer       "adam", "rmsprop", "sgd"; "fisher_scoring" for ml
    seed            of all random numbers
    steps, seconds  of the training
    status          "converged", or words for what happened
    suboptimality   nats per training image below the maximum of the likelihood; for plain score matching and isotropic
                    conditional NCE, KL from their own optimum; null where it is not known *
    dataset         {name, source, images, sha256; test_images *, fallback *: the bundled sample served instead}
    noise           what p_n is, {words; ratio, eta, scale, stages, epsilon *}; null for ml and sm
    log_partition   {estimate: the learned c, standard_error *, exact: log Z of the fitted Λ, gap: estimate − exact}
    held_out        {log_likelihood, maximum_likelihood, gap: how far below}, per test image, with the exact log Z
    min_eigenvalue  of the fitted Λ
    stencil         {diagonal, couplings [K]} for shared weights, else null *
    settings        the telescoped fit's {stage_spread, noise_spread, reach, passes} *
    request         the options that decide the fit: a fit is made again where they have changed *
    confused *, final_loss *, closed_form_min_eigenvalue *, coin * {seed, outcome}
    versions        of Python and of the packages

Arrays (NPZ); H × W pixels, numbered row by row, K coupling directions, S images, T stages:

    mean [H, W]                  the training split's mean image
    rows, cols, values [n]       Λ, both triangles, float64
    log_partition []             the learned c, NaN where there is none
    samples [S, H, W], data *    samples of the fit and training images, the mean added to both
    loss *                       by step
    diagonal *, couplings *      shared: [], [K]; per-edge: [H, W], [K, H, W], zero where the neighbour is off the image
    test_log_likelihood *        of each test image
    conditional_log_likelihood * [H, W], of each pixel given all others, mean over the test images
    covariance_pixel * [2]; covariance_fitted *, covariance_empirical * [H, W]: of that pixel with all others
    learned_log_partition *      c by step, with a fixed noise; exact_log_partition * at the steps exact_steps *
    data_log_ratio *, noise_log_ratio *   G of the fixed noise on held-out images and on noise images
    stage_learned *, stage_exact *, stage_standard_error *, stage_held_out * [T + 1]
    stage_spread *, stage_overlap * [T]
    stage_samples *, stage_samples_at *   a sample at some of the stages
    epsilon *, epsilon_loss *, epsilon_held_out *   the scan over ε

* only where the estimator has it.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from assignment.errors import UserError
from assignment.results.files import locked, remove, write_text, write_whole

__all__ = ["Fit", "entries", "fit_name", "load_fit", "load_part", "load_results", "save_fit"]
__all__ += ["locked", "write_text", "write_whole"]

# What every fit has, as is said above.
_FACTS = (
    "part estimator variant connectivity weights optimizer seed steps seconds status noise min_eigenvalue versions "
    "dataset.name dataset.source dataset.images dataset.sha256 log_partition.estimate log_partition.exact "
    "log_partition.gap held_out.log_likelihood held_out.maximum_likelihood held_out.gap"
).split()
_ARRAYS = ("mean", "rows", "cols", "values", "log_partition", "samples")


@dataclass(frozen=True, eq=False)
class Fit:
    """One fit as it was saved."""

    name: str  # of its files, see `fit_name`
    record: dict  # the JSON file
    path: Path  # the NPZ file

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, read when first asked for; UserError, one line, if the file is damaged."""
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
            _check_arrays(arrays)
        except Exception as error:  # damaged bytes make the readers of zip and of arrays raise all kinds of errors
            raise _damaged(self.path, error) from error
        return arrays


def fit_name(
    estimator: str, variant: str | None, weights: str, connectivity: int, optimizer: str = "adam", seed: int = 0
) -> str:
    """The file name of a fit: `nce-telescoped-per_edge-8`, `cnce-matched-shared-4-sgd`, `ml-shared-4-seed1`.

    Optimizer and seed stand in it only where they are not the defaults; `variant` is None where there are none.
    """
    parts = [estimator, variant, weights, connectivity]
    parts += [optimizer if optimizer != "adam" else None, f"seed{seed}" if seed else None]
    return "-".join(str(part) for part in parts if part is not None)


def save_fit(directory: str | Path, name: str, record: dict, arrays: dict) -> Fit:
    """Writes `name`.npz and then `name`.json into `directory`, and returns the Fit.

    A fit exists exactly if its JSON file does. The same record and arrays give the same bytes.

    Args:
      record: the facts, with at least those that have no star above; NumPy numbers are fine.
      arrays: numeric arrays, with at least those without a star. NaN stands for a number that there is not, but never
        within `mean`, `values` and `samples`.

    Raises:
      ValueError: a number is not finite, a key is missing, Λ is not symmetric. No file is then touched.
      UserError: the folder cannot be written to.
    """
    # Numbers and arrays of NumPy have `tolist`.
    text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False, default=lambda value: value.tolist())
    record = _checked_record(text)
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    _check_arrays(arrays)
    facts, npz = Path(directory) / f"{name}.json", Path(directory) / f"{name}.npz"
    remove(facts)  # or else a run killed between the two files would leave old facts of new arrays
    write_whole(npz, lambda file: np.savez(file, **arrays))  # the zip entries of savez bear a constant date
    write_text(facts, text + "\n")
    return Fit(name, record, npz)


def load_fit(directory: str | Path, name: str) -> Fit:
    """Reads one fit; UserError, one line, if it is missing or damaged (its arrays: when they are first asked for)."""
    facts, npz = Path(directory) / f"{name}.json", Path(directory) / f"{name}.npz"
    try:
        record = _checked_record(facts.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"there is no fit {name} in {directory}") from error
    except (OSError, ValueError) as error:
        raise _damaged(facts, error) from error
    if not npz.is_file():
        raise _damaged(npz, "it is missing, though its JSON file is there")
    return Fit(name, record, npz)


def load_part(directory: str | Path) -> list[Fit]:
    """All fits of one part's folder by name; [] if there is no such folder. What a killed run left is not a fit."""
    return [load_fit(directory, path.stem) for path in sorted(Path(directory).glob("*.json"))]


def load_results(root: str | Path) -> list[Fit]:
    """All fits of a data set: those of every part's folder within `root`, `results/<dataset>`."""
    return [fit for folder in sorted(Path(root).glob("*/")) for fit in load_part(folder)]


def entries(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """All that stands within dicts and lists, these too, by its dotted key: ("held_out.gap", 0.1)."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for inner, item in items:
        name = f"{key}.{inner}" if key else str(inner)
        yield name, item
        yield from entries(item, name)


def _checked_record(text):
    """The record that JSON text holds; ValueError if it is not that of a fit."""
    record = json.loads(text)
    found = dict(entries(record))
    if missing := [key for key in _FACTS if key not in found]:
        raise ValueError(f"the record lacks {', '.join(missing)}")
    if bad := [key for key, value in found.items() if isinstance(value, float) and not math.isfinite(value)]:
        raise ValueError(f"not finite: {', '.join(bad)}")
    return record


def _check_arrays(arrays):
    if missing := [key for key in _ARRAYS if key not in arrays]:
        raise ValueError(f"the arrays lack {', '.join(missing)}")
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{key} must hold numbers, not {array.dtype}")
        if np.isinf(array).any() or (key in ("mean", "values", "samples") and np.isnan(array).any()):
            raise ValueError(f"{key} holds numbers that are not finite")
    _check_precision(arrays["rows"], arrays["cols"], arrays["values"], arrays["mean"].size)


def _check_precision(rows, cols, values, pixels):
    """ValueError unless these are the entries, each once, of a symmetric matrix [pixels, pixels]."""
    if not rows.shape == cols.shape == values.shape == (rows.size,):
        raise ValueError("rows, cols and values must be vectors of one length")
    if np.any((rows < 0) | (rows >= pixels) | (cols < 0) | (cols >= pixels)):
        raise ValueError(f"rows and cols must be pixel numbers from 0 to {pixels - 1}")
    entries = np.stack([rows, cols, values])[:, np.lexsort((cols, rows))]
    mirrored = np.stack([cols, rows, values])[:, np.lexsort((rows, cols))]
    if (np.diff(entries[:2]) == 0).all(axis=0).any():
        raise ValueError("an entry of Λ is given twice")
    if not np.array_equal(entries, mirrored):
        raise ValueError("Λ is not symmetric")


def _damaged(path, reason):
    words = " ".join(str(reason).split())
    return UserError(f"{path} is damaged ({words}); delete it and run its part again")
