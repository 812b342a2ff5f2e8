"""Tables for LaTeX: booktabs `tabular` fragments of plain columns, to be \\input anywhere."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

from assignment.reporting.gains import remarks
from assignment.reporting.labels import by_family, family, family_label, short_ending, short_label
from assignment.reporting.latex import across, escape, number
from assignment.reporting.numbers import gap, nats, rough
from assignment.reporting.selection import part_fits
from assignment.results import Fit, write_text

# The columns of a table of results: (head of several columns, head, alignment). One that says nothing of any fit goes.
_COLUMNS = {
    "label": ("", "Estimator", "l"),
    "stencil": ("", r"weights of $\Lambda$", "l"),
    "exact": (r"$\log Z$ (nats)", "exact", "r"),
    "gap": (r"$\log Z$ (nats)", "$c-{}$exact", "r"),
    "error": (r"$\log Z$ (nats)", "", "@{\\ }l"),
    "test": ("test (nats)", "per image", "r"),
    "below": ("test (nats)", "to ceiling", "r"),
    "left": ("", "left", "r"),
    "least": ("", r"$\lambda_{\min}$", "r"),
    "seconds": ("", "s", "r"),
}
_NOTE_WIDTH = 105


def tabulate_part(part: str, results_directory: str | Path, reports_directory: str | Path) -> list[Path]:
    """Writes tables/<part>.tex for one part's fits.

    Args:
      results_directory: results/<data set>, the folder of the parts' folders.
      reports_directory: the folder of `tables`.

    Returns:
      The paths of the files written; [] while the part has no fits.
    """
    fits = part_fits(part, results_directory)
    return write_tables({part: results_table(fits, remarks(fits))} if fits else {}, reports_directory)


def write_tables(tables: dict[str, str], reports_directory: str | Path) -> list[Path]:
    """Writes each of {name: text} as tables/<name>.tex; returns the paths."""
    paths = {Path(reports_directory) / "tables" / f"{name}.tex": text for name, text in tables.items()}
    for path, text in paths.items():
        write_text(path, text)
    return list(paths)


def results_table(fits: Iterable[Fit], notes: Iterable[str] = ()) -> str:
    """A `tabular` of fits, those of one family (Λ's weights and neighbourhood) together.

    Bold are the smallest gap of log Z and the best test log-likelihood among a family's fits, except that of maximum
    likelihood, with which they are compared. How fits ended that did not converge stands below in a few words, then
    the notes.
    """
    groups = by_family(fits)
    endings = dict.fromkeys(filter(None, (short_ending(fit) for group in groups.values() for fit in group)))
    marks = {words: f"$^{{{chr(ord('a') + place)}}}$" for place, words in enumerate(endings)}
    cells = {fit.name: _cells(fit, marks.get(short_ending(fit), "")) for group in groups.values() for fit in group}
    columns = [column for column in _COLUMNS if any(row[column] not in ("", "--") for row in cells.values())]
    alignment = "".join(_COLUMNS[column][2] for column in columns)
    lines = [r"\begingroup\setlength{\tabcolsep}{2.5pt}%", rf"\begin{{tabular}}{{@{{}}{alignment}@{{}}}}", r"\toprule"]
    lines += _heads(columns)
    for group in groups.values():
        _embolden(cells, group, "gap", "log_partition")
        _embolden(cells, group, "below", "held_out")
        lines += [r"\midrule", across(len(columns), f"\\textit{{{_heading(group)}}}")]
        lines += [" & ".join(cells[fit.name][column] for column in columns) + r" \\" for fit in group]
    said = [f"{mark} {escape(words)}" for words, mark in marks.items()]
    said += [escape(line) for words in notes for line in textwrap.wrap(words, _NOTE_WIDTH)]
    lines += [r"\bottomrule", *(across(len(columns), rf"\footnotesize {line}") for line in said)]
    return "\n".join([*lines, r"\end{tabular}\endgroup", ""])


def _heading(group):
    words = escape(family_label(family(group[0]))).capitalize()
    ceilings = {nats(fit.record["held_out"]["maximum_likelihood"]) for fit in group}
    return f"{words}; ceiling {number(ceilings.pop())} nats" if len(ceilings) == 1 else words


def _heads(columns):
    """The two rows of heads, with a rule below each head of several columns."""
    above, rules, start = [], [], 0
    while start < len(columns):
        words = _COLUMNS[columns[start]][0]
        end = start + 1
        while words and end < len(columns) and _COLUMNS[columns[end]][0] == words:
            end += 1
        above.append(rf"\multicolumn{{{end - start}}}{{c}}{{{words}}}" if words else "")
        rules += [rf"\cmidrule(lr){{{start + 1}-{end}}}"] if words else []
        start = end
    return [" & ".join(above) + r" \\", " ".join(rules), " & ".join(_COLUMNS[c][1] for c in columns) + r" \\"]


def _cells(fit, mark):
    record = fit.record
    log_partition, held_out = record["log_partition"], record["held_out"]
    error = log_partition.get("standard_error")
    return {
        "label": escape(short_label(fit)) + mark,
        "stencil": _stencil(record.get("stencil")),
        "exact": number(nats(log_partition["exact"])),
        "gap": number(gap(log_partition["gap"])),
        "error": f"$\\pm$ {error:.3f}" if error is not None else "",
        "test": number(nats(held_out["log_likelihood"])),
        "below": number(gap(held_out["gap"])),
        "left": number(gap(record.get("suboptimality"))),
        "least": number(rough(record["min_eigenvalue"])),
        "seconds": number(rough(record["seconds"])),
    }


def _stencil(stencil):
    if stencil is None:
        return ""
    values = stencil["diagonal"], *stencil["couplings"]
    diagonal, *couplings = (f"{value:z.1f}" if abs(value) >= 1 else f"{value:z.2f}" for value in values)
    return rf"${diagonal}; {', '.join(couplings)}$"


def _embolden(cells, group, column, fact):
    """Sets in bold what reads as well as the best of at least two comparable fits."""
    rivals = [fit for fit in group if fit.record["estimator"] != "ml" and fit.record[fact]["gap"] is not None]
    if len(rivals) < 2:
        return
    distance = abs if fact == "log_partition" else float
    best = cells[min(rivals, key=lambda fit: distance(fit.record[fact]["gap"])).name][column]
    for fit in rivals:
        if cells[fit.name][column] == best:
            cells[fit.name][column] = f"\\textbf{{\\boldmath {best}}}"
