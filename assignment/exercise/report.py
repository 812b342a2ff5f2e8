"""Part `report`: from all results to the typeset answer."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from assignment.derivation.errata import answers, errata
from assignment.errors import UserError
from assignment.exercise.settings import FITTING
from assignment.reporting.figures import draw_part
from assignment.reporting.macros import seed_suffix, write_numbers
from assignment.reporting.tables import tabulate_part, write_appendix
from assignment.results import write_text

SOURCE = Path(__file__).parents[2] / "reports" / "report.tex"
NO_LATEX = (
    "No PDF: latexmk is not installed; all else is there. Debian: "
    "apt-get install texlive-latex-base texlive-latex-recommended latexmk, then make report"
)


def write(results: str | Path, output: str | Path, seed: int = 0) -> str:
    """Draws the figures that the report shows, tabulates, writes the report's numbers, and typesets it.

    Args:
      results: results/<dataset>; output: the folder of figures, tables and the report; seed: of the fits it speaks of.

    Returns:
      The last word for the terminal: where the PDF is, or how to get it.
    """
    results, output = Path(results), Path(output)
    derivation = results.parent / "derivation.json"
    if not derivation.is_file():
        write_text(derivation, json.dumps({"errata": errata(), "answers": answers()}, indent=2, allow_nan=False))
    shown = re.findall(r"\\drawn\{(.+?)\}", SOURCE.read_text(encoding="utf-8"))
    shown += [name + seed_suffix(seed) for name in shown]
    for part in FITTING[:-1]:  # all but this one
        draw_part(part, results, output, only=shown)
        tabulate_part(part, results, output)
    write_appendix(results, output, seed)
    write_numbers(results, output, seed)
    return typeset(output)


def typeset(output: Path) -> str:
    """Runs latexmk on report.tex in `output`; UserError with LaTeX's own words where it fails."""
    if not shutil.which("latexmk"):
        return NO_LATEX
    if output.resolve() != SOURCE.parent:
        shutil.copyfile(SOURCE, output / SOURCE.name)
    nothing_else = ["-norc", "-no-shell-escape"]  # A latexmkrc in the folder is Perl, and would be run.
    command = ["latexmk", *nothing_else, "-pdf", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=output, capture_output=True, text=True, errors="replace")
    if done.returncode:
        complaint = next((line for line in done.stdout.splitlines() if line.startswith("!")), "see report.log")
        raise UserError(f"LaTeX could not typeset {output / 'report.tex'}: {complaint.lstrip('! ')}")
    return f"The report: {output / 'report.pdf'}"
