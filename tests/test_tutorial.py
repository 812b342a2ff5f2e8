"""The tutorial, and a part's command, in a real kernel and the surroundings that Jupyter gives it."""

import sys

import nbformat
import pytest
from nbclient import NotebookClient
from small_parts import ROOT, small

TUTORIAL = ROOT / "reports" / "tutorial.ipynb"
FIGURES = ["pictures", "separated", "fixed-samples", "log-z", "weights", "samples"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs a notebook beside the tutorial and returns {id of a cell: its outputs}."""
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for name in ("ASSIGNMENT_DATA_DIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))

    def execute(notebook):
        client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": TUTORIAL.parent}})
        return {cell.id: cell.outputs for cell in client.execute().cells if cell.cell_type == "code"}

    return execute


def printed(outputs, stream):
    """The lines that a stream shows in the end: a carriage return goes back over its line."""
    text = "".join(output.text for output in outputs if output.get("name") == stream)
    return [line.rpartition("\r")[2] for line in text.split("\n") if line]


def has_picture(outputs):
    return [output.data.get("image/png", "") > "" for output in outputs if "data" in output] == [True]


def test_the_tutorial_is_kept_without_outputs():
    cells = nbformat.read(TUTORIAL, as_version=4).cells
    assert [cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.slow
def test_the_tutorial_shows_its_figures_its_progress_and_which_fit_failed(run):
    outputs = run(nbformat.read(TUTORIAL, as_version=4))  # A cell that fails raises CellExecutionError.
    assert [name for name, found in outputs.items() if has_picture(found)] == FIGURES
    for cell, name in (("fit-fixed", "NCE, fixed noise: 1500 of 1500"), ("fit-telescoped", "NCE, telesc")):
        (bar,) = printed(outputs[cell], "stderr")  # one, above what is printed
        assert bar.startswith(name) and "loss" in bar
        assert [output.name for output in outputs[cell]][-1] == "stdout"
    assert "not converged: " in printed(outputs["fit-fixed"], "stdout")[0]
    assert printed(outputs["fit-telescoped"], "stdout")[0].endswith(" converged")


@pytest.mark.slow
def test_a_part_runs_from_a_cell_and_figures_show_without_pyplot(run, tmp_path):
    part = f'!"{sys.executable}" -m assignment ml ' + " ".join(f'"{option}"' for option in small(tmp_path))
    drawing = "from assignment.reporting.drawing.curves import log_ratios\nimport numpy, sys\n"
    cells = ["%cd -q ..", part, "_exit_code", drawing + "log_ratios(numpy.arange(9.0), -numpy.arange(9.0))"]
    cells.append("assert 'matplotlib.pyplot' not in sys.modules")
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    _, part, code, figure, _ = run(notebook).values()
    assert code[0].data["text/plain"] == "0", part
    assert list(tmp_path.glob("out/figures/*.png")) and "ML, exact" in "".join(output.text for output in part)
    assert has_picture(figure)
