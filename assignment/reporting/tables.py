"""Tables for LaTeX: booktabs `tabular` fragments of plain columns, to be \\input anywhere."""

import textwrap
from pathlib import Path

from assignment.reporting.files import write_text
from assignment.reporting.gains import best_gains
from assignment.reporting.labels import by_family, coin_line, data_line, family_label, short_label, trouble
from assignment.reporting.numbers import NONE, gap, nats
from assignment.reporting.selection import all_fits, part_fits

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "·": r"$\cdot$",
    "λ": r"$\lambda$",
    "→": r"$\rightarrow$",
    "Λ": r"$\Lambda$",
    "ε": r"$\varepsilon$",
    "…": r"\dots{}",
    **{character: "\\" + character for character in "&%$#_{}"},
}
_HEAD = r"""
 & shared weights & \multicolumn{4}{c}{$\log Z$ (nats)} & \multicolumn{2}{c}{test (nats)} & & \\
\cmidrule(lr){3-6} \cmidrule(lr){7-8}
Estimator & of $\Lambda$ & learned $c$ & exact & \multicolumn{2}{l}{gap}
& per image & to ceiling & $\lambda_{\min}$ & s \\
"""
_COLUMNS = 10
_NOTE_WIDTH = 105


def tabulate_part(part, results_directory, reports_directory):
    """Writes tables/<part>.tex for one part's fits, and tables/results.tex for all fits of the data set.

    Args:
      results_directory: results/<dataset>, the folder of the parts' folders.
      reports_directory: the folder of `tables`.

    Returns:
      The paths of the files written; [] while the part has no fits.
    """
    fits = part_fits(part, results_directory)
    if not fits:
        return []
    tables = {part: fits, "results": all_fits(results_directory)}
    paths = {Path(reports_directory) / "tables" / f"{name}.tex": group for name, group in tables.items()}
    for path, group in paths.items():
        write_text(path, results_table(group))
    return list(paths)


def results_table(fits):
    """A `tabular` of fits, those of one family (Λ's weights and neighbourhood) together.

    Bold are the smallest gap of log Z and the best test log-likelihood among a family's fits, maximum likelihood, the
    yardstick, aside. What there is to say of single fits and of the data stands below.
    """
    groups = by_family(fits)
    marks = _marks([fit for group in groups.values() for fit in group])
    lines = [r"\begingroup\setlength{\tabcolsep}{2.5pt}%", r"\begin{tabular}{@{}llrrr@{\ }lrrrr@{}}", r"\toprule"]
    lines.append(_HEAD.strip())
    for group in groups.values():
        lines += [r"\midrule", _across(f"\\textit{{{_heading(group)}}}"), *_rows(group, marks)]
    lines += [r"\bottomrule", *_notes(fits, marks), r"\end{tabular}\endgroup"]
    return "\n".join(lines) + "\n"


def escape(words):
    """Plain words as LaTeX text."""
    return "".join(_SPECIAL.get(character, character) for character in words)


def _heading(group):
    words = escape(family_label((group[0].record["weights"], group[0].record["connectivity"]))).capitalize()
    ceilings = {nats(fit.record["held_out"]["maximum_likelihood"]) for fit in group}
    return f"{words}; ceiling {_number(ceilings.pop())} nats" if len(ceilings) == 1 else words


def _rows(group, marks):
    cells = {fit.name: _cells(fit) for fit in group}
    _embolden(cells, group, "log Z gap", lambda fit: -abs(fit.record["log_partition"]["gap"]), "log_partition")
    for column in ("test", "test gap"):
        _embolden(cells, group, column, lambda fit: -fit.record["held_out"]["gap"], "held_out")
    for fit in group:
        if fit.name in marks:
            cells[fit.name]["label"] += f"$^{{{marks[fit.name]}}}$"
    return [" & ".join(row.values()) + r" \\" for row in cells.values()]


def _cells(fit):
    record = fit.record
    log_partition, held_out = record["log_partition"], record["held_out"]
    error = log_partition.get("standard_error")
    return {
        "label": escape(short_label(fit)),
        "stencil": _stencil(record.get("stencil")),
        "learned": _number(nats(log_partition["estimate"])),
        "exact": _number(nats(log_partition["exact"])),
        "log Z gap": _number(gap(log_partition["gap"])),
        "spread": f"$\\pm$ {error:.3f}" if error is not None else "",
        "test": _number(nats(held_out["log_likelihood"])),
        "test gap": _number(gap(held_out["gap"])),
        "min": _number(_rough(record["min_eigenvalue"])),
        "seconds": _rough(record["seconds"]),
    }


def _stencil(stencil):
    if stencil is None:
        return ""
    diagonal, *couplings = (_short(value) for value in (stencil["diagonal"], *stencil["couplings"]))
    joined = r",\,".join(couplings)
    return rf"${diagonal};\,{joined}$"


def _short(value):
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def _rough(value):
    """Two figures, one for what is tiny, and all those before the point."""
    if abs(value) >= 9.95:
        return f"{value:.0f}"
    return f"{value:#.2g}" if abs(value) > 1e-3 or value == 0 else f"{value:.0e}"


def _number(text):
    """A printed number in LaTeX: a real minus, powers of ten."""
    if text == NONE:
        return "--"
    mantissa, _, exponent = text.partition("e")
    power = f" \\cdot 10^{{{int(exponent)}}}" if exponent else ""
    return f"${mantissa}{power}$"


def _embolden(cells, group, column, score, fact):
    """Sets in bold what reads as well as the best of at least two comparable fits."""
    rivals = [fit for fit in group if fit.record["estimator"] != "ml" and fit.record[fact]["gap"] is not None]
    if len(rivals) < 2:
        return
    best = cells[max(rivals, key=score).name][column]
    for fit in rivals:
        if cells[fit.name][column] == best:
            cells[fit.name][column] = f"\\textbf{{\\boldmath {best}}}"


def _marks(fits):
    """A letter for each fit that did not simply converge; fits that ended alike share one."""
    letters = {}
    for fit in fits:
        if words := trouble(fit):
            letters.setdefault(words, chr(ord("a") + len(letters)))
    return {fit.name: letters[trouble(fit)] for fit in fits if trouble(fit)}


def _notes(fits, marks):
    said = {marks[fit.name]: trouble(fit) for fit in fits if fit.name in marks}
    notes = [(f"$^{{{letter}}}$ ", words) for letter, words in sorted(said.items())]
    notes += [("", words) for words in (*map(str, best_gains(fits)), coin_line(fits), data_line(fits)) if words]
    return [
        _across(r"\footnotesize " + mark * (k == 0) + escape(line))
        for mark, words in notes
        for k, line in enumerate(textwrap.wrap(words, _NOTE_WIDTH))
    ]


def _across(text):
    return f"\\multicolumn{{{_COLUMNS}}}{{@{{}}l@{{}}}}{{{text}}} \\\\"
