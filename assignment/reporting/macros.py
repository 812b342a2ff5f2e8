"""numbers.tex: every number that the report may speak of, by fit and fact, from saved results alone.

`\\fact{nce-telescoped-per_edge-4}{held_out.gap}{nats}` in report.tex prints a number: the fit by its file's name, the
fact by its keys in the JSON file, then how it is printed (`FORMATS`). What the results lack is printed as a bold n/a.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from assignment.lattice.stencil import weight_sizes
from assignment.reporting.labels import ending
from assignment.reporting.latex import escape, number
from assignment.reporting.numbers import below, count, gap, nats, percent, size, small
from assignment.reporting.selection import gains
from assignment.reporting.tables import read_beside
from assignment.results import Fit, entries, load_results, write_text

FORMATS = {f.__name__: f for f in (nats, gap, size, below, small, count, percent)}
_SUMMARIES = ("min", "max", "median", "size")
_SUMMARISED = ("data_log_ratio", "noise_log_ratio", "stage_spread", "stage_overlap")
_OF_ALL = ("dataset", "versions", "request")
_SEPARATED = 0.01  # nats: where NCE's loss is below, the classifier is never in doubt
_MOST_PIXELS = 2500  # of which all eigenvalues are computed


def write_numbers(results_directory: str | Path, reports_directory: str | Path, seed: int = 0) -> Path:
    """Writes numbers.tex into `reports_directory`, from the fits of one seed in results/<data set>."""
    path = Path(reports_directory) / "numbers.tex"
    fits = [fit for fit in load_results(results_directory) if fit.record["seed"] == seed]
    derivation, bench = (read_beside(results_directory, name) for name in ("derivation", "bench"))
    lines = ["% Generated from the results; do not edit.", *_switches(fits, bench)]
    lines.append(f"\\newcommand{{\\seedsuffix}}{{{seed_suffix(seed)}}}")
    for (group, key), value in facts(fits, derivation, bench).items():
        if isinstance(value, str):
            lines.append(f"\\definewords{{{group}}}{{{key}}}{{{escape(value)}}}")
        else:
            printed = "".join(f"{{{number(form(value))}}}" for form in FORMATS.values())
            lines.append(f"\\definenumber{{{group}}}{{{key}}}{printed}")
    write_text(path, "\n".join(lines) + "\n")
    return path


def seed_suffix(seed: int) -> str:
    """What the seed adds to the names of fits and of their figures."""
    return f"-seed{seed}" if seed else ""


def _name(fit):
    """The name in report.tex, which knows no seeds."""
    return fit.name.replace(seed_suffix(fit.record["seed"]), "")


def _switches(fits, bench):
    """Whether there are digits, or the sample served; the fixed noise failed, for its classes separate; the bench."""
    dataset = fits[0].record["dataset"] if fits else {"name": ""}
    fixed = [fit for fit in fits if _name(fit) == "nce-fixed-shared-4"]
    switches = {
        "mnist": dataset["name"] in ("mnist", "mnist_sample"),
        "fallback": bool(dataset.get("fallback")),
        "fixedfails": any(ending(fit) for fit in fixed),
        "separates": any(fit.record.get("final_loss", 1) < _SEPARATED for fit in fixed),
        "bench": bool(bench),
    }
    return [rf"\newif\if{name}\{name}{'true' if value else 'false'}" for name, value in switches.items()]


def facts(
    fits: Iterable[Fit], derivation: dict | None = None, bench: dict | None = None
) -> dict[tuple[str, str], float | str]:
    """All that there is to say of one data set's fits, as {(fit, fact): number or words}.

    Beside the fits there are the groups `data`, `seconds` (by part and `total`), `coin`, `derivation` (the answers in
    the record of `assignment.derivation.errata`), `bench` (its maximum likelihood by way and size) and, for the gain of
    further neighbours, `gain-` before the name of an 8-connected fit. Words are the same in every format.
    """
    fits, seconds = list(fits), Counter()
    for fit in fits:
        seconds[fit.record["part"]] += fit.record["seconds"]
    different = {_name(fit): fit for fit in fits}  # The coin's fits stand in two parts.
    seconds["total"] = sum(fit.record["seconds"] for fit in different.values())
    groups = {name: _of_fit(fit) for name, fit in different.items()}
    groups |= {"data": _of_data(fits[0]) if fits else {}, "seconds": seconds}
    for gain in gains(different.values()):
        groups[f"gain-{_name(gain.eight)}"] = {"mean": gain.mean, "standard_error": gain.standard_error}
    groups["coin"] = next((fit.record["coin"] for fit in fits if "coin" in fit.record), {})
    groups |= {"derivation": (derivation or {}).get("answers"), "bench": (bench or {}).get("newton")}
    return {
        (group, key): value
        for group, found in groups.items()
        for key, value in entries(found)
        if isinstance(value, int | float | str)
    }


def _of_fit(fit):
    """The facts of the file, and what is computed from them and from the arrays."""
    arrays = fit.arrays
    found = {key: value for key, value in fit.record.items() if key not in _OF_ALL}
    for key in _SUMMARISED:
        if key in arrays and len(finite := arrays[key][np.isfinite(arrays[key])]):
            found[key] = {name: float(getattr(np, name)(finite)) for name in _SUMMARIES}
    log_partition, stencil = found["log_partition"], found.get("stencil")
    if error := log_partition.get("standard_error"):
        found["standard_errors"] = abs(log_partition["gap"]) / error
    if stencil:  # below zero, Λ is not diagonally dominant
        found["dominance"] = stencil["diagonal"] - 2 * sum(map(abs, stencil["couplings"]))
    if found["estimator"] == "ml" and arrays["mean"].size <= _MOST_PIXELS:
        precision = np.zeros([arrays["mean"].size] * 2)
        precision[arrays["rows"], arrays["cols"]] = arrays["values"]
        found["max_eigenvalue"] = float(np.linalg.eigvalsh(precision)[-1])
    return found


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
