"""Tables of fits, of fixed noises and of the notes' errors: booktabs fragments for LaTeX, and plain text."""

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from assignment.reporting.labels import by_family, family_label, noise_words, short_ending, short_label
from assignment.reporting.latex import across, escape, number, row, tabular
from assignment.reporting.numbers import gap, nats, rough, small
from assignment.reporting.selection import part_fits, remarks
from assignment.results import Fit, load_results, write_text

# The columns of a table of results: heads of several columns, with {column: (head, alignment)} below each.
_COLUMNS = (
    ("", {"label": ("Estimator", "l"), "stencil": (r"weights of $\Lambda$", "l")}),
    (r"$\log Z$ (nats)", {"exact": ("exact", "r"), "gap": ("$c-{}$exact", "r"), "error": ("", "@{\\ }l")}),
    ("test (nats)", {"test": ("per image", "r"), "below": ("to ceiling", "r")}),
    ("", {"left": ("left", "r"), "least": (r"$\lambda_{\min}$", "r"), "seconds": ("s", "r")}),
)
_NOTE_WIDTH = 105


def tabulate_part(part: str, results_directory: str | Path, reports_directory: str | Path) -> list[Path]:
    """Writes tables/<part>.tex in `reports_directory` for one part's fits in `results_directory`, results/<data set>.

    Returns the paths of the files written; [] while the part has no fits.
    """
    fits = part_fits(part, results_directory)
    return _write({part: results_table(fits, remarks(fits))} if fits else {}, reports_directory)


def write_appendix(results_directory: str | Path, reports_directory: str | Path) -> list[Path]:
    """Writes the report's own tables, each if there is something to say; returns their paths.

    They are results-<weights>.tex (by Adam, with NCE's default noise), noise.tex (fixed noises put to the test) and
    errata.tex (the errors of the notes).
    """
    fits = list({fit.name: fit for fit in load_results(results_directory)}.values())
    fixed = [fit for fit in fits if fit.record["variant"] == "fixed"]
    derivation = read_beside(results_directory, "derivation")
    tables = {"noise": noise_table(fixed)} if fixed else {}
    tables |= {"errata": errata_table(derivation["errata"])} if derivation else {}
    default = [fit for fit in fits if fit.record["optimizer"] in ("adam", "fisher_scoring") and not noise_words(fit)]
    for weights in ("shared", "per_edge"):
        if chosen := [fit for fit in default if fit.record["weights"] == weights]:
            tables[f"results-{weights}"] = results_table(chosen)
    return _write(tables, reports_directory)


def _write(tables, reports_directory):
    """Writes each of {name: text} as tables/<name>.tex; returns the paths."""
    paths = {Path(reports_directory) / "tables" / f"{name}.tex": text for name, text in tables.items()}
    for path, text in paths.items():
        write_text(path, text)
    return list(paths)


def read_beside(results_directory: str | Path, name: str) -> dict | None:
    """`derivation.json` or `bench.json`, beside the results of all data sets; None where it has not been made."""
    path = Path(results_directory).parent / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def results_table(fits: Iterable[Fit], notes: Iterable[str] = ()) -> str:
    """A `tabular` of fits, those of one family (Λ's weights and neighbourhood) together.

    Bold are the smallest gap of log Z and the best test log-likelihood among a family's fits, except that of maximum
    likelihood, with which they are compared. How fits ended that did not converge stands below in a few words, then
    the notes. A column that says nothing of any fit is left out.
    """
    groups = by_family(fits)
    endings = dict.fromkeys(filter(None, (short_ending(fit) for group in groups.values() for fit in group)))
    marks = {words: f"$^{{{chr(ord('a') + place)}}}$" for place, words in enumerate(endings)}
    cells = {fit.name: _cells(fit, marks.get(short_ending(fit), "")) for group in groups.values() for fit in group}
    said_of_some = {key for each in cells.values() for key, words in each.items() if words not in ("", "--")}
    columns, alignment, lines = _heads(said_of_some)
    for family, group in groups.items():
        _embolden(cells, group, "gap", "log_partition")
        _embolden(cells, group, "below", "held_out")
        lines += [r"\midrule", across(len(columns), f"\\textit{{{_heading(family, group)}}}")]
        lines += [row(cells[fit.name][column] for column in columns) for fit in group]
    said = [f"{mark} {escape(words)}" for words, mark in marks.items()]
    said += [escape(line) for words in notes for line in textwrap.wrap(words, _NOTE_WIDTH)]
    lines += [r"\bottomrule", *(across(len(columns), rf"\footnotesize {line}") for line in said)]
    return r"\begingroup\setlength{\tabcolsep}{2.5pt}%" + "\n" + tabular(alignment, lines).rstrip() + "\\endgroup\n"


def _heading(family, group):
    words = escape(family_label(family)).capitalize()
    ceilings = {nats(fit.record["held_out"]["maximum_likelihood"]) for fit in group}
    return f"{words}; ceiling {number(ceilings.pop())} nats" if len(ceilings) == 1 else words


def _heads(shown):
    """Of the columns that are shown: their names, their alignment, and their heads, rows of a table."""
    columns, above, rules = {}, [], []
    for words, group in _COLUMNS:
        group = {key: column for key, column in group.items() if key in shown}
        if words and group:
            above.append(rf"\multicolumn{{{len(group)}}}{{c}}{{{words}}}")
            rules.append(rf"\cmidrule(lr){{{len(columns) + 1}-{len(columns) + len(group)}}}")
        else:
            above += [""] * len(group)
        columns |= group
    heads, alignment = zip(*columns.values(), strict=True)
    return list(columns), "".join(alignment), [row(above), " ".join(rules), row(heads)]


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


def errata_table(errata: Iterable[dict]) -> str:
    """A `tabular` of errata: as written, correct, and how far either is from the reference."""
    lines, reference = [row(["Where", "As written", "Correct", "ours", "theirs"])], None
    for erratum in errata:
        if erratum["reference"] != reference:
            reference = erratum["reference"]
            lines += [r"\midrule", across(5, f"\\textit{{Relative deviation from the {reference}}}")]
        ours = f"{erratum['ours']:.0e}" if erratum["ours"] else "0"
        theirs = "overflow" if erratum["theirs"] is None else number(small(erratum["theirs"]))
        words = [r"\raggedright " + erratum["where"], erratum["as_written"], erratum["correct"]]
        lines.append(row([*words, number(ours), theirs]) + "[2pt]")
    return tabular(r"p{0.2\linewidth}p{0.27\linewidth}p{0.27\linewidth}rr", [*lines, r"\bottomrule"])


def noise_table(fits: Iterable[Fit]) -> str:
    """A `tabular` of NCE with fixed noises: what p_n is, how far the classes part, where c and Λ end."""
    lines = [
        r" & & \multicolumn{2}{c}{median $G$} & \multicolumn{2}{c}{$\log Z$ (nats)} & test \\",
        r"\cmidrule(lr){3-4} \cmidrule(lr){5-6}",
        r"$p_n$ & $\eta$ & data & noise & $c$ & gap & to ceiling \\",
    ]
    for family, group in by_family(fits).items():
        lines += [r"\midrule", across(7, f"\\textit{{{escape(family_label(family)).capitalize()}}}")]
        lines += [row(_noise_cells(fit)) for fit in group]
    return tabular("lrrrrrr", [*lines, r"\bottomrule"])


def _noise_cells(fit):
    log_partition, request = fit.record["log_partition"], fit.record.get("request", {})
    medians = [float(np.median(fit.arrays[f"{kind}_log_ratio"])) for kind in ("data", "noise")]
    printed = [small(value) for value in (request.get("eta"), *medians)]
    printed += [nats(log_partition["estimate"]), gap(log_partition["gap"]), gap(fit.record["held_out"]["gap"])]
    words = f"{request.get('noise_variance', '?')} variances × {request.get('noise_scale', 1):g}".replace("_", "-")
    return [escape(words), *map(number, printed)]
