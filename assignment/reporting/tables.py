"""Tables of fits, of fixed noises and of the notes' errors: booktabs fragments for LaTeX, and plain text."""

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from assignment.reporting import labels
from assignment.reporting.latex import across, escape, number, row, tabular
from assignment.reporting.numbers import gap, nats, rough, small
from assignment.reporting.selection import part_fits, remarks
from assignment.results import Fit, load_results, write_text

# The columns of a table of results: {column: (head, alignment)}.
_COLUMNS = {
    "label": ("Estimator", "l"),
    "stencil": (r"weights of $\Lambda$", "l"),
    "exact": (r"$\log Z$/nats", "r"),
    "gap": (r"$c-\log Z$", "r"),
    "error": ("", "@{\\ }l"),
    "test": ("test/nats", "r"),
    "below": ("to ceiling", "r"),
    "left": ("left", "r"),
    "least": (r"$\lambda_{\min}$", "r"),
    "seconds": ("s", "r"),
}
_NOTE_WIDTH = 105
_TERMINAL_HEADS = (
    ("", "", "log Z", "log Z", "log Z", "test", "ceiling", "test", "", "", ""),
    ("estimator", "Λ's weights", "learned", "exact", "gap", "nats", "(ML)", "gap", "left", "λ_min", "seconds"),
)


def tabulate_part(part: str, results_directory: str | Path, reports_directory: str | Path) -> list[Path]:
    """Writes tables/<part>.tex in `reports_directory` for one part's fits in `results_directory`, results/<data set>.

    Returns the paths of the files written; [] while the part has no fits.
    """
    fits = part_fits(part, results_directory)
    return [_write(part, results_table(fits, remarks(fits)), reports_directory)] if fits else []


def write_appendix(results_directory: str | Path, reports_directory: str | Path, seed: int = 0) -> None:
    """Writes the report's own tables, of the fits of one seed, each if there is something to say.

    They are results-<weights>.tex (by Adam, with NCE's default noise), noise.tex (fixed noises put to the test) and
    errata.tex (the errors of the notes).
    """
    found = {fit.name: fit for fit in load_results(results_directory)}.values()
    fits = [fit for fit in found if fit.record["seed"] == seed]
    if fixed := [fit for fit in fits if fit.record["variant"] == "fixed"]:
        _write("noise", noise_table(fixed), reports_directory)
    if derivation := read_beside(results_directory, "derivation"):
        _write("errata", errata_table(derivation["errata"]), reports_directory)
    default = [fit for fit in fits if fit.record["optimizer"] in ("adam", "fisher_scoring")]
    for weights in ("shared", "per_edge"):
        if chosen := [fit for fit in default if fit.record["weights"] == weights and not labels.noise_words(fit)]:
            _write(f"results-{weights}", results_table(chosen), reports_directory)


def _write(name, text, reports_directory):
    path = Path(reports_directory) / "tables" / f"{name}.tex"
    write_text(path, text)
    return path


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
    ordered = labels.in_order(fits)
    endings = dict.fromkeys(filter(None, map(labels.short_ending, ordered)))
    marks = {words: f"$^{{{chr(ord('a') + place)}}}$" for place, words in enumerate(endings)}
    cells = {fit.name: _cells(fit, marks.get(labels.short_ending(fit), "")) for fit in ordered}
    said_of_some = {key for each in cells.values() for key, words in each.items() if words not in ("", "--")}
    columns = [key for key in _COLUMNS if key in said_of_some]
    heads, alignment = zip(*(_COLUMNS[key] for key in columns), strict=True)
    lines = [row(heads)]
    for family, group in labels.by_family(ordered).items():
        _embolden(cells, group, "gap", "log_partition")
        _embolden(cells, group, "below", "held_out")
        heading = escape(labels.family_label(family)).capitalize()
        ceilings = {nats(fit.record["held_out"]["maximum_likelihood"]) for fit in group}
        if len(ceilings) == 1:
            heading += f"; ceiling {number(ceilings.pop())} nats"
        lines += [r"\midrule", across(len(columns), f"\\textit{{{heading}}}")]
        lines += [row(cells[fit.name][column] for column in columns) for fit in group]
    said = [f"{mark} {escape(words)}" for words, mark in marks.items()]
    said += [escape(line) for words in notes for line in textwrap.wrap(words, _NOTE_WIDTH)]
    lines += [r"\bottomrule", *(across(len(columns), rf"\footnotesize {line}") for line in said)]
    text = tabular("".join(alignment), lines).rstrip()
    return r"\begingroup\setlength{\tabcolsep}{2.5pt}%" + f"\n{text}\\endgroup\n"


def _printed(fit):
    """What both tables say of a fit in nats: exact log Z, c − log Z, test nats, their ceiling, how far below, left."""
    log_partition, held_out = fit.record["log_partition"], fit.record["held_out"]
    return {
        "exact": nats(log_partition["exact"]),
        "gap": gap(log_partition["gap"]),
        "test": nats(held_out["log_likelihood"]),
        "ceiling": nats(held_out["maximum_likelihood"]),
        "below": gap(held_out["gap"]),
        "left": gap(fit.record.get("suboptimality")),
    }


def _cells(fit, mark):
    record, error = fit.record, fit.record["log_partition"].get("standard_error")
    printed = _printed(fit) | {"least": rough(record["min_eigenvalue"]), "seconds": rough(record["seconds"])}
    return {
        "label": escape(labels.estimator_label(fit)) + mark,
        "stencil": _stencil(record.get("stencil")),
        "error": f"$\\pm$ {error:.3f}" if error is not None else "",
        **{key: number(text) for key, text in printed.items()},
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


def terminal_table(fits: Iterable[Fit]) -> str:
    """The results of fits as lines of text, about 115 columns wide for the usual names.

    All in nats. `learned` is the learned c with its standard error; the gap beside it is c − log Z of the fitted Λ.
    The test columns are nats per test image with the exact log Z, the same for the maximum likelihood, and how far the
    fit stays below that. `left`: how far the fit is from its optimum, see `FitResult.suboptimality`.
    """
    ordered, rows, said = labels.in_order(fits), [*_TERMINAL_HEADS], []
    for fit in ordered:
        name, family = labels.estimator_label(fit), labels.short_family_label(fit)
        learned, error = (fit.record["log_partition"].get(key) for key in ("estimate", "standard_error"))
        c = nats(learned) + (f" ± {nats(error)}" if error is not None else "")
        least, seconds = small(fit.record["min_eigenvalue"]), f"{fit.record['seconds']:.1f}"
        rows.append((name, family, c, *_printed(fit).values(), least, seconds))
        if ending := labels.ending(fit):
            said.append(f"{name} ({family}): {ending}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    line = "  ".join(f"{{:{'<' if place < 2 else '>'}{width}}}" for place, width in enumerate(widths))
    lines = [line.format(*row).rstrip() for row in rows]
    lines.insert(len(_TERMINAL_HEADS), "-" * max(map(len, lines)))
    said += remarks(ordered)
    return "\n".join([*lines, "", *said] if said else lines)


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
    lines = [r"$p_n$ & $\eta$ & median $G$: data & noise & $c$ (nats) & $c-\log Z$ & test: to ceiling \\"]
    for family, group in labels.by_family(fits).items():
        lines += [r"\midrule", across(7, f"\\textit{{{escape(labels.family_label(family)).capitalize()}}}")]
        for fit in group:
            log_partition, request = fit.record["log_partition"], fit.record.get("request", {})
            medians = [float(np.median(fit.arrays[f"{kind}_log_ratio"])) for kind in ("data", "noise")]
            printed = [small(value) for value in (request.get("eta"), *medians)]
            printed += [nats(log_partition["estimate"]), gap(log_partition["gap"]), gap(fit.record["held_out"]["gap"])]
            noise = f"{request.get('noise_variance', '?')} variances × {request.get('noise_scale', 1):g}"
            lines.append(row([escape(noise.replace("_", "-")), *map(number, printed)]))
    return tabular("lrrrrrr", [*lines, r"\bottomrule"])
