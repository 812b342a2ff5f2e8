"""numbers.tex: every number that the report may speak of, by fit and fact, from saved results alone.

`\\fact{nce-telescoped-per_edge-4}{held_out.gap}{nats}` in report.tex prints a number: the fit by its file's name, the
fact by its keys in the JSON file, then how it is printed (`FORMATS`). What the results lack is printed as a bold n/a.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from assignment.lattice.stencil import weight_sizes
from assignment.reporting.appendix import read_derivation
from assignment.reporting.gains import gains
from assignment.reporting.labels import ending
from assignment.reporting.latex import escape, number
from assignment.reporting.numbers import below, count, gap, nats, percent, size, small
from assignment.results import Fit, load_results, write_text

FORMATS = {f.__name__: f for f in (nats, gap, size, below, small, count, percent)}
_SUMMARIES = ("min", "max", "median", "size")
_SUMMARISED = ("data_log_ratio", "noise_log_ratio", "loss", "stage_spread", "stage_overlap", "stage_standard_error")
_OF_ALL = ("dataset", "versions", "request")
_MNIST = ("mnist", "mnist_sample")
_MOST_PIXELS = 2500  # of which all eigenvalues are computed


def write_numbers(results_directory: str | Path, reports_directory: str | Path) -> Path:
    """Writes numbers.tex and returns its path.

    Args:
      results_directory: results/<data set>; the derivation's numbers stand beside it, in `derivation.json`.
      reports_directory: where the report is typeset.
    """
    path, fits = Path(reports_directory) / "numbers.tex", load_results(results_directory)
    found = facts(fits, read_derivation(results_directory))
    lines = ["% Generated from the results; do not edit.", *_switches(fits)]
    lines += [f"\\define{_printed(value, group, key)}" for (group, key), value in found.items()]
    write_text(path, "\n".join(lines) + "\n")
    return path


def facts(fits: Iterable[Fit], derivation: dict | None = None) -> dict[tuple[str, str], float | str]:
    """All that there is to say, as {(fit, fact): number or words}.

    Beside the fits there are the groups `data`, `seconds` (by part and `total`), `coin`, `derivation` and, for the
    gain of further neighbours, `gain-` before the name of an 8-connected fit. Words are the same in every format.

    Args:
      fits: all Fits of one data set, those of every part's folder.
      derivation: the record of `assignment.derivation.errata`, or None.
    """
    fits = list(fits)
    groups = {fit.name: _of_fit(fit) for fit in fits}
    groups |= {"data": _of_data(fits[0]) if fits else {}, "seconds": _seconds(fits)}
    for gain in gains({fit.name: fit for fit in fits}.values()):
        groups[f"gain-{gain.eight.name}"] = {"mean": gain.mean, "standard_error": gain.standard_error}
    groups["coin"] = next((coin for fit in fits if (coin := fit.record.get("coin"))), {})
    groups["derivation"] = derivation["answers"] if derivation else {}
    return {(group, key): value for group, found in groups.items() for key, value in _leaves(found)}


def _leaves(value: object, key: str = "") -> Iterator[tuple[str, float | str]]:
    """The numbers and words within dicts and lists, by their dotted keys."""
    if isinstance(value, dict | list | tuple):
        for inner, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, f"{key}.{inner}" if key else str(inner))
    elif isinstance(value, int | float | str):
        yield key, value


def _printed(value, group, key):
    """Words as they are, a number in each of the formats."""
    if isinstance(value, str):
        return f"words{{{group}}}{{{key}}}{{{escape(value)}}}"
    texts = "".join(f"{{{number(form(value))}}}" for form in FORMATS.values())
    return f"number{{{group}}}{{{key}}}{texts}"


def _switches(fits):
    """Whether the text may speak of digits, must say that the sample served, and why the fixed noise failed."""
    dataset = fits[0].record["dataset"] if fits else {"name": ""}
    fixed = next((fit for fit in fits if fit.name == "nce-fixed-shared-4"), None)
    switches = {
        "mnist": dataset["name"] in _MNIST,
        "fallback": bool(dataset.get("fallback")),
        "fixedfails": fixed is not None and ending(fixed) is not None,
    }
    return [rf"\newif\if{name}\{name}{'true' if value else 'false'}" for name, value in switches.items()]


def _of_fit(fit):
    arrays = fit.arrays
    summaries = {
        key: {name: float(getattr(np, name)(finite)) for name in _SUMMARIES}
        for key in _SUMMARISED
        if key in arrays and len(finite := arrays[key][np.isfinite(arrays[key])])
    }
    own = {key: value for key, value in fit.record.items() if key not in _OF_ALL}
    return own | summaries | dict(_derived(fit))


def _derived(fit):
    """What is computed from several numbers of a fit."""
    record, arrays = fit.record, fit.arrays
    error, stencil = record["log_partition"].get("standard_error"), record.get("stencil")
    if error:
        yield "standard_errors", abs(record["log_partition"]["gap"]) / error
    if stencil:  # below zero, Λ is not diagonally dominant
        yield "dominance", stencil["diagonal"] - 2 * sum(map(abs, stencil["couplings"]))
    if record["estimator"] == "ml" and arrays["mean"].size <= _MOST_PIXELS:
        yield "max_eigenvalue", _largest_eigenvalue(arrays)


def _largest_eigenvalue(arrays):
    precision = np.zeros([arrays["mean"].size] * 2)
    precision[arrays["rows"], arrays["cols"]] = arrays["values"]
    return float(np.linalg.eigvalsh(precision)[-1])


def _of_data(fit):
    height, width = fit.arrays["mean"].shape
    return fit.record["dataset"] | {
        "height": height,
        "width": width,
        "pixels": height * width,
        "weights": {str(k): sum(weight_sizes(k, height, width)) for k in (4, 8)},
        "seed": fit.record["seed"],
        "versions": ", ".join(f"{name} {version}" for name, version in fit.record["versions"].items()),
    }


def _seconds(fits):
    seconds = {}
    for fit in fits:
        for key in (fit.record["part"], "total"):
            seconds[key] = seconds.get(key, 0.0) + fit.record["seconds"]
    return seconds
