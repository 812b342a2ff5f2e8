"""Tables that only the report has: results by weights, fixed noises put to the test, the errors of the notes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from assignment.reporting.labels import by_family, family_label
from assignment.reporting.latex import across, escape, number
from assignment.reporting.numbers import gap, nats, small
from assignment.reporting.selection import all_fits, default_fits
from assignment.reporting.tables import results_table, write_tables
from assignment.results import Fit


def write_appendix(results_directory: str | Path, reports_directory: str | Path) -> list[Path]:
    """Writes tables/results-<weights>.tex, noise.tex and errata.tex, each if there is something to say.

    Args:
      results_directory: results/<data set>.
      reports_directory: the folder of `tables`.

    Returns:
      The paths of the files written.
    """
    fits = all_fits(results_directory)
    fixed = [fit for fit in fits if fit.record["variant"] == "fixed"]
    derivation = read_derivation(results_directory)
    tables = {"noise": noise_table(fixed)} if fixed else {}
    tables |= {"errata": errata_table(derivation["errata"])} if derivation else {}
    for weights in ("shared", "per_edge"):
        if chosen := [fit for fit in default_fits(fits) if fit.record["weights"] == weights]:
            tables[f"results-{weights}"] = results_table(chosen)
    return write_tables(tables, reports_directory)


def read_derivation(results_directory: str | Path) -> dict | None:
    """The record of `assignment.derivation.errata`, or None where it has not been made."""
    path = Path(results_directory).parent / "derivation.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def errata_table(rows: Iterable[dict]) -> str:
    """A `tabular` of errata: as written, correct, and how far either is from the reference."""
    lines = [
        r"\begin{tabular}{@{}p{0.2\linewidth}p{0.27\linewidth}p{0.27\linewidth}rr@{}}",
        r"\toprule",
        r"Where & As written & Correct & ours & theirs \\",
    ]
    reference = None
    for row in rows:
        if row["reference"] != reference:
            reference = row["reference"]
            lines += [r"\midrule", across(5, f"\\textit{{Relative deviation from the {reference}}}")]
        cells = [r"\raggedright " + row["where"], row["as_written"], row["correct"], *_deviations(row)]
        lines.append(" & ".join(cells) + r" \\[2pt]")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _deviations(row):
    theirs = "overflow" if row["theirs"] is None else number(small(row["theirs"]))
    return number(f"{row['ours']:.0e}") if row["ours"] else number("0"), theirs


def noise_table(fits: Iterable[Fit]) -> str:
    """A `tabular` of NCE with fixed noises: what p_n is, how far the classes part, where c and Λ end."""
    lines = [
        r"\begin{tabular}{@{}lrrrrrr@{}}",
        r"\toprule",
        r" & & \multicolumn{2}{c}{median $G$} & \multicolumn{2}{c}{$\log Z$ (nats)} & test \\",
        r"\cmidrule(lr){3-4} \cmidrule(lr){5-6}",
        r"$p_n$ & $\eta$ & data & noise & $c$ & gap & to ceiling \\",
    ]
    for family, group in by_family(fits).items():
        lines += [r"\midrule", across(7, f"\\textit{{{escape(family_label(family)).capitalize()}}}")]
        lines += [" & ".join(_noise_row(fit)) + r" \\" for fit in group]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _noise_row(fit):
    log_partition, request = fit.record["log_partition"], fit.record.get("request", {})
    printed = [small(value) for value in (request.get("eta"), _median(fit, "data"), _median(fit, "noise"))]
    printed += [nats(log_partition["estimate"]), gap(log_partition["gap"]), gap(fit.record["held_out"]["gap"])]
    words = f"{request.get('noise_variance', '?')} variances × {request.get('noise_scale', 1):g}".replace("_", "-")
    return [escape(words), *map(number, printed)]


def _median(fit, kind):
    ratios = fit.arrays.get(f"{kind}_log_ratio")
    return None if ratios is None else float(np.median(ratios))
