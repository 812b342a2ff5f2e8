"""Fits on disk, a JSON file of facts and an NPZ file of arrays each; `assignment.results` says what is in them."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from assignment.errors import UserError
from assignment.results.files import remove, write_text, write_whole

# What every fit has, as `assignment.results` says.
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
      record: the facts, with at least those that `assignment.results` does not mark by a star; NumPy numbers are fine.
      arrays: numeric arrays, with at least those without a star. NaN stands for a number that there is not, but never
        within `mean`, `values` and `samples`.

    Raises:
      ValueError: a number is not finite, a key is missing, Λ is not symmetric. No file is then touched.
      UserError: the folder cannot be written to.
    """
    record = {**record, "fit": name}
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
