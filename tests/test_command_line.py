"""The command line as a user meets it: help, complaints, and one part from data to table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from assignment.command_line import PARTS, main

ROOT = Path(__file__).parents[1]


def run(*arguments):
    environment = {**os.environ, "ASSIGNMENT_OFFLINE": "1"}
    command = [sys.executable, "-m", "assignment", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_help_names_every_part(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and all(part in text for part in PARTS)


def test_bad_data_is_two_and_one_line(tmp_path):
    done = run("ml", "--idx-dir", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out"))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1 and "nowhere" in done.stderr


def test_a_part_from_data_to_table(tmp_path):
    """`make ml` on the bundled sample: files of the contract, and the same bytes a second time."""
    results = []
    for folder in ("one", "two"):
        done = run("ml", "--dataset", "mnist_sample", "--output", str(tmp_path / folder))
        assert done.returncode == 0, done.stderr
        assert "ML" in done.stdout and "shared" in done.stdout
        results.append(tmp_path / folder / "results" / "mnist_sample" / "ml" / "ml-shared-4")
    record = json.loads(results[0].with_suffix(".json").read_text())
    assert record["dataset"]["name"] == "mnist_sample" and record["min_eigenvalue"] > 0
    assert record["held_out"]["gap"] == 0
    with np.load(results[0].with_suffix(".npz")) as arrays:
        matrix = np.zeros((784, 784))
        matrix[arrays["rows"], arrays["cols"]] = arrays["values"]
        assert arrays["samples"].shape[1:] == (28, 28) and np.isnan(arrays["log_partition"])
    assert np.array_equal(matrix, matrix.T)
    assert record["min_eigenvalue"] == pytest.approx(np.linalg.eigvalsh(matrix)[0], rel=1e-6)
    exact = 392 * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(matrix)[1]
    assert record["log_partition"]["exact"] == pytest.approx(exact, rel=1e-9)
    assert {p.name for p in (tmp_path / "one" / "tables").iterdir()} == {"ml.tex", "results.tex"}
    assert results[0].with_suffix(".npz").read_bytes() == results[1].with_suffix(".npz").read_bytes()


@pytest.mark.slow
def test_nce_reports_both_noises_truthfully(tmp_path):
    done = run("nce", "--dataset", "mnist_sample", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results" / "mnist_sample" / "nce"
    fixed, telescoped = (
        json.loads((folder / f"nce-{kind}-shared-4.json").read_text()) for kind in ("fixed", "telescoped")
    )
    assert fixed["status"].startswith("failed") and fixed["held_out"]["gap"] > 10
    assert telescoped["status"] == "converged" and abs(telescoped["held_out"]["gap"]) < 0.1
    bar = telescoped["log_partition"]["standard_error"]
    assert abs(telescoped["log_partition"]["gap"]) < 4.5 * bar < 0.3
    assert not [p for p in tmp_path.rglob("*") if p.suffix not in (".json", ".npz", ".pdf", ".png", ".tex", "")]


def test_the_coin_is_decided_by_its_seed():
    from assignment.parts.second import flip

    outcomes = [flip(seed) for seed in range(200)]
    assert outcomes == [flip(seed) for seed in range(200)]
    assert set(outcomes) == {("heads", "cnce"), ("tails", "sm")}
    assert 70 < sum(outcome == ("heads", "cnce") for outcome in outcomes) < 130


def test_make_help_lists_every_part():
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {part} " in text for part in PARTS)


@pytest.mark.slow
def test_the_two_commands_of_the_readme_in_a_fresh_clone(tmp_path):
    """`make nce` and `make test` where nothing but the repository is, with the packages that are installed already."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a clone itself")
    clone, ready = tmp_path / "clone", Path(sys.prefix) / ".ready"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    environment |= {"ASSIGNMENT_OFFLINE": "1"}

    def make(*words):
        command = ["make", f"VENV={sys.prefix}", "-o", str(ready), *words]
        return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=400)

    done = make("nce", "ARGS=--noise fixed --epochs 1")  # No data is named, none can be fetched: the sample serves.
    assert done.returncode == 0, done.stderr
    assert "NCE fixed" in done.stdout and "sample" in done.stdout
    record = json.loads(next(clone.glob("reports/results/mnist_sample/nce/*.json")).read_text())
    assert record["dataset"]["fallback"] and "failed" in record["status"]
    assert make("test", "ARGS=--collect-only -q").returncode == 0
    changed = subprocess.run(["git", "status", "--short"], cwd=clone, capture_output=True, text=True, check=True).stdout
    assert changed == ""
