"""The command line as a user meets it: help, complaints, surroundings, and one part from data to table."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from small_parts import ROOT, results, small, start

from assignment.command_line import parser
from assignment.exercise.settings import PARTS
from assignment.progress import Progress


def test_help_names_every_part(run_here):
    status, text, _ = run_here("--help")
    assert status == 0 and all(part in text for part in PARTS)


def test_a_home_folder_is_meant_by_a_tilde():
    options = parser().parse_args(["nce", "--output", "~/r", "--idx-dir", "~/i", "--images", "~/p", "--data-dir", "~"])
    given = [options.output, options.idx_dir, options.images, options.data_dir]
    assert given == [os.path.expanduser(path) for path in ("~/r", "~/i", "~/p", "~")]


@pytest.mark.parametrize(
    ("backend", "versions", "words"),
    [
        ("jax", {}, "unset KERAS_BACKEND"),
        ("", {"keras": ""}, "the package keras is not installed; make setup"),
        ("", {"tensorflow": "2.15.1"}, "tensorflow is of version 2.15.1, but 2.20.x is needed"),
    ],
)
def test_wrong_surroundings_are_two_and_one_line(run_here, monkeypatch, backend, versions, words):
    installed = importlib.metadata.version

    def version(package):
        if versions.get(package) == "":
            raise importlib.metadata.PackageNotFoundError(package)
        return versions.get(package) or installed(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    status, _, said = run_here("ml")
    assert status == 2 and len(said) == 1 and words in said[0]


def test_packages_that_do_not_work_together_are_two_and_one_line(run_here, monkeypatch):
    monkeypatch.delitem(sys.modules, "assignment.exercise.run", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    status, _, said = run_here("ml")
    assert status == 2 and len(said) == 1 and "import of tensorflow halted" in said[0] and "make setup" in said[0]


def test_a_part_from_data_to_table(run_here, tmp_path):
    """`ml` on the bundled sample: every file with what belongs in it."""
    status, printed, said = run_here("ml", "--dataset", "mnist_sample", "--output", tmp_path)
    assert status == 0, said
    assert "ML, exact" in printed and "shared" in printed and "λ_min" in printed
    files = tmp_path / "results" / "mnist_sample" / "ml" / "ml-shared-4"
    record = json.loads(files.with_suffix(".json").read_text())
    assert record["dataset"]["name"] == "mnist_sample" and record["min_eigenvalue"] > 0
    assert record["held_out"]["gap"] == 0 and record["optimizer"] == "fisher_scoring"
    with np.load(files.with_suffix(".npz")) as arrays:
        matrix = np.zeros((784, 784))
        matrix[arrays["rows"], arrays["cols"]] = arrays["values"]
        assert arrays["samples"].shape[1:] == (28, 28) and np.isnan(arrays["log_partition"])
    assert np.array_equal(matrix, matrix.T)
    assert record["min_eigenvalue"] == pytest.approx(np.linalg.eigvalsh(matrix)[0], rel=1e-6)
    exact = 392 * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(matrix)[1]
    assert record["log_partition"]["exact"] == pytest.approx(exact, rel=1e-9)
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {"ml.tex"}


@pytest.mark.slow
def test_a_part_leaves_the_same_in_any_terminal(tmp_path):
    """In a cell of a notebook, and where only ASCII is known, whichever stream nobody reads: the same bytes."""
    notebook = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "MPLBACKEND": "TkAgg"}
    left = []
    for environment, closed, read in ((notebook, "stdout", "stderr"), (ascii_only, "stderr", "stdout")):
        process = start("ml", *small(tmp_path), environment=environment)
        getattr(process, closed).close()
        words = getattr(process, read).read().decode()
        process.communicate()
        assert process.returncode == 0 and "Error" not in words, words
        assert read == "stderr" or "ML, exact" in words and "lambda_min" in words
        left.append(results(tmp_path / "out"))
        shutil.rmtree(tmp_path / "out")
    assert left[0] == left[1] and len(left[0]) > 6


@pytest.mark.parametrize("kernel", [False, True])
def test_progress_is_a_bar_in_a_notebook_and_lines_in_a_file(capsys, monkeypatch, kernel):
    if kernel:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    else:
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    with Progress("fit") as progress:
        for step in range(1, 4):
            progress(step, 3, "loss 1")
    said = capsys.readouterr().err
    assert ("3 of 3 [" in said) == kernel and ("fit: step 3 of 3  loss 1\n" == said) == (not kernel)


@pytest.mark.slow
def test_nce_reports_both_noises_truthfully(run_here, tmp_path):
    status, _, said = run_here("nce", "--dataset", "mnist_sample", "--output", tmp_path)
    assert status == 0, said
    folder = tmp_path / "results" / "mnist_sample" / "nce"
    fixed, telescoped = (
        json.loads((folder / f"nce-{kind}-shared-4.json").read_text()) for kind in ("fixed", "telescoped")
    )
    assert fixed["status"].startswith("failed") and fixed["held_out"]["gap"] > 10
    assert telescoped["status"] == "converged" and abs(telescoped["held_out"]["gap"]) < 0.1
    bar = telescoped["log_partition"]["standard_error"]
    assert abs(telescoped["log_partition"]["gap"]) < 4.5 * bar < 0.3
    assert not [p for p in tmp_path.rglob("*") if p.suffix not in (".json", ".npz", ".pdf", ".png", ".tex", "")]


# The Makefile.


def test_make_help_lists_every_part():
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {part} " in text for part in PARTS)


def test_make_passes_variables_on():
    names = "DATASET IDX_DIR IMAGES PATCH CONNECTIVITY WEIGHTS OPTIMIZER SEED OUTPUT".split()
    quietly = ["make", "--no-print-directory", "-n", "-o", ".venv/.ready"]
    command = [*quietly, "nce", *(f"{name}=a b" for name in names), "ARGS=--eta 0.1"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f'--{name.lower().replace("_", "-")} "a b"' in text for name in names) and text.endswith("--eta 0.1\n")


@pytest.fixture
def checkout(tmp_path):
    """A folder with spaces in its name that has a Makefile, and a PATH without any Python."""
    folder, programs = tmp_path / "a check out", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements.txt").write_text("")
    for name in ("make", "sh", "touch", "mkdir", "cp"):
        (programs / name).symlink_to(shutil.which(name))
    return folder, programs


def pretend_python(path, good=True):
    """A program that answers as a Python does, of a version that is good or not, and notes that it made a .venv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'#!/bin/sh\ncase "$*" in\n*version_info*) exit {int(not good)};;\n'
        '*venv*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo "made by $0";;\nesac\n'
    )
    path.chmod(0o755)


def make_setup(checkout, *words):
    folder, programs = checkout
    command = [shutil.which("make"), "setup", *words]
    return subprocess.run(command, cwd=folder, env={"PATH": str(programs)}, capture_output=True, text=True)


def test_make_finds_the_python_that_there_is(checkout):
    _, programs = checkout
    done = make_setup(checkout)
    assert done.returncode == 2 and done.stderr.splitlines()[0].startswith("Python 3.11, 3.12 or 3.13 is needed: ")
    pretend_python(programs / "python3", good=False)
    assert make_setup(checkout).returncode == 2
    pretend_python(programs / "python3.13")
    assert f"made by {programs}/python3.13" in make_setup(checkout).stdout


def test_make_takes_a_python_with_spaces_and_makes_its_venv_anew_when_requirements_change(checkout, tmp_path):
    python = tmp_path / "my pythons" / "python"
    pretend_python(python)
    made = f"made by {python}"
    assert made in make_setup(checkout, f"PYTHON={python}").stdout
    assert made not in make_setup(checkout, f"PYTHON={python}").stdout
    later = (checkout[0] / ".venv" / ".ready").stat().st_mtime + 1
    os.utime(checkout[0] / "requirements.txt", (later, later))
    assert made in make_setup(checkout, f"PYTHON={python}").stdout
    pretend_python(python, good=False)
    os.utime(checkout[0] / "requirements.txt", (later + 1, later + 1))
    assert make_setup(checkout, f"PYTHON={python}").returncode == 2


@pytest.mark.slow
def test_the_two_commands_of_the_readme_in_a_fresh_clone(tmp_path):
    """`make nce` and `make test` where nothing but the repository is, with the packages that are installed already."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a clone itself")
    clone = tmp_path / "a clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    (clone / ".venv").symlink_to(sys.prefix)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    environment |= {"ASSIGNMENT_OFFLINE": "1", "ASSIGNMENT_DATA_DIR": str(tmp_path / "data")}

    def make(*words):
        command = ["make", "-o", ".venv/.ready", *words]
        return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=400)

    done = make("nce", "ARGS=--noise fixed --epochs 1")  # No data is named, none can be fetched: the sample serves.
    assert done.returncode == 0, done.stderr
    assert "NCE fixed" in done.stdout and "sample" in done.stdout
    record = json.loads(next(clone.glob("reports/results/mnist_sample/nce/*.json")).read_text())
    assert record["dataset"]["fallback"] and "failed" in record["status"]
    assert make("test", "ARGS=--collect-only -q").returncode == 0
    changed = subprocess.run(["git", "status", "--short"], cwd=clone, capture_output=True, text=True, check=True).stdout
    assert changed == ""
