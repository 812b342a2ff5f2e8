"""Two tables that only the report has: the slips of the hand-out's notes, and fixed noises put to the test."""

from pathlib import Path

import numpy as np

from assignment.reporting.files import write_text
from assignment.reporting.labels import by_family, family_label
from assignment.reporting.macros import number, read_derivation, small_fact
from assignment.reporting.numbers import gap, nats, small
from assignment.reporting.selection import all_fits
from assignment.reporting.tables import escape


def write_appendix(results_directory, reports_directory):
    """Writes tables/slips.tex and tables/noise.tex, each if there is something to say; returns their paths.

    Args:
      results_directory: results/<dataset>.
      reports_directory: the folder of `tables`.
    """
    derivation = read_derivation(results_directory)
    fixed = [fit for fit in all_fits(results_directory) if fit.record["variant"] == "fixed"]
    tables = {"slips": derivation and slips_table(derivation["slips"]), "noise": fixed and noise_table(fixed)}
    paths = {Path(reports_directory) / "tables" / f"{name}.tex": text for name, text in tables.items() if text}
    for path, text in paths.items():
        write_text(path, text)
    return list(paths)


def slips_table(rows):
    """A `tabular` of slips: as written, correct, and the deviation of either from what judges them."""
    lines = [
        r"\begin{tabular}{@{}p{0.2\linewidth}p{0.27\linewidth}p{0.27\linewidth}rr@{}}",
        r"\toprule",
        r"Where & As written & Correct & ours & theirs \\",
    ]
    reference = None
    for row in rows:
        if row["reference"] != reference:
            reference = row["reference"]
            lines += [r"\midrule", _across(5, f"Relative deviation from the {reference}")]
        cells = [r"\raggedright " + row["where"], row["as_written"], row["correct"], *_deviations(row)]
        lines.append(" & ".join(cells) + r" \\[2pt]")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _deviations(row):
    theirs = "overflow" if row["theirs"] is None else number(f"{row['theirs']:.3g}")
    return number(f"{row['ours']:.0e}") if row["ours"] else number("0"), theirs


def noise_table(fits):
    """A `tabular` of NCE with fixed noises: what p_n is, how far the classes part, where c and Λ end."""
    lines = [
        r"\begin{tabular}{@{}p{0.34\linewidth}rrrrrr@{}}",
        r"\toprule",
        r" & & \multicolumn{2}{c}{median $G$} & \multicolumn{2}{c}{$\log Z$ (nats)} & test \\",
        r"\cmidrule(lr){3-4} \cmidrule(lr){5-6}",
        r"$p_n$ & $\eta$ & data & noise & $c$ & gap & to ceiling \\",
    ]
    for family, group in by_family(fits).items():
        lines += [r"\midrule", _across(7, escape(family_label(family)).capitalize())]
        lines += [" & ".join(_noise_row(fit)) + r" \\" for fit in group]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _noise_row(fit):
    log_partition, noise = fit.record["log_partition"], fit.record["noise"]
    words = noise["words"] if isinstance(noise, dict) else str(noise)
    printed = [small(value) for value in (small_fact(fit, "eta"), _median(fit, "data"), _median(fit, "noise"))]
    printed += [nats(log_partition["estimate"]), gap(log_partition["gap"]), gap(fit.record["held_out"]["gap"])]
    return [escape(words), *map(number, printed)]


def _median(fit, kind):
    ratios = fit.arrays.get(f"{kind}_log_ratio")
    return None if ratios is None else float(np.median(ratios))


def _across(columns, words):
    return f"\\multicolumn{{{columns}}}{{@{{}}l@{{}}}}{{\\textit{{{words}}}}} \\\\"
