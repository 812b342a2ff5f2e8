"""The grader itself: right solutions get all points, each slip loses its own, and hostility harms nobody else."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from grading.grader import reference, wire
from grading.grader.judge import closeness
from grading.grader.rubric import Lost
from grading.grader.submission import Submission
from grading.grader.supervisor import Failure, Limits

GRADING = Path(__file__).parent / "grading"
DENSE = GRADING / "dense_solution"

# What each file of wrong/ must lose: names of tests in tests/grading/test_part*.py, less the leading "test_".
LOSSES = {"loss", "loss_noise_ratio", "loss_stable"}
SLIPS = {
    "conditional_overflows": {"loss_large"},
    "conditional_sign": {"loss_shared", "loss_per_edge", "loss_large"},
    "constant_not_learned": {"gradient", "gradient_noise_ratio"},
    "directions_swapped": {"matrix_shared", "matrix_per_edge", "matrix"},
    "edges_once": {"quadratic_form_shared", "quadratic_form_per_edge", "quadratic_form"},
    "edges_wrap": {"matrix_shared", "quadratic_form_shared", "matrix", "quadratic_form"},
    "exp_overflows": {"loss_stable"},
    "factor_transposed": {"covariance", "symmetric_root"},
    "fixed_noise": {"training_on_digits", "learned_on_digits"},
    "gradient_sign": {"gradient", "gradient_noise_ratio"},
    "half_missing": LOSSES | {"gradient", "gradient_noise_ratio"},
    "indefinite": {"second_training_positive_definite", "second_training_on_digits"},
    "log_ratio_saturated": {"loss_stable"},
    "log_ratio_sign": LOSSES,
    "log_z_log_2pi_det": {"exact_shared", "exact_per_edge", "log_partition"},
    "log_z_sign": {"exact_shared", "exact_per_edge", "log_partition"},
    "loss_sign": LOSSES,
    "mean_of_each_split": {"test_mean"},
    "mean_not_subtracted": {"train_mean", "test_mean"},
    "noise_det_underflows": {"noise_density_large"},
    "noise_log_2pi_det": {"noise_density"},
    "noise_repeated": {"noise_independence"},
    "noise_variance_as_deviation": {"noise_variance"},
    "nu_dropped": {"loss_noise_ratio", "gradient_noise_ratio"},
    "nu_twice": {"loss_noise_ratio", "gradient_noise_ratio"},
    "pixels_not_scaled": {"scale"},
    "positive_definite_by_determinant": {"positive_definite"},
    "positive_definite_by_dominance": {"positive_definite"},
    "root_not_inverted": {"covariance"},
    "samples_without_mean": {"mean"},
    "sign_of_determinant_ignored": {"refused"},
    "trace_divided": {"loss_shared", "loss_per_edge", "loss_large"},
}
QUICK = ("exp_overflows", "nu_dropped", "edges_wrap", "mean_not_subtracted")
WITHOUT_TRAINING = ("-k", "not training and not learned")


def grade(folder, results, *options):
    """Grades a folder; returns (results.json, the rubric as printed)."""
    process = subprocess.run(command(folder, results, *options), capture_output=True, text=True, timeout=240)
    assert process.returncode in (0, 1), process.stdout + process.stderr
    return json.loads(results.read_text()), process.stdout


def command(folder, results, *options):
    options = ["-p", "no:cacheprovider", f"--submission={folder}", f"--results-json={results}", *options]
    return [sys.executable, "-m", "pytest", str(GRADING), *options]


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    """Dozens of runs of pytest: none need load other people's plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def lost(results):
    return [t["name"] for t in results["tests"] if t["status"] == "failed"]


def with_changes(folder, code):
    """The dense solution in a new folder, with adapters that `code` replaces."""
    shutil.copytree(DENSE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "slip.py").write_text(code)
    (folder / "adapters.py").write_text("from solution import *\nfrom slip import *\n")
    return folder


def titles():
    """{test name without "test_": the name of its item in results.json}; "second_" before the second one's training."""
    found = {}
    for path in sorted(GRADING.glob("test_part*.py")):
        marker = None
        for line in path.read_text().splitlines():
            if line.startswith("@pytest.mark.item("):
                marker = line
            elif marker and line.startswith("def test_"):
                name = line[len("def test_") : line.index("(")]
                part, title = marker.split('"')[1], marker.split('"')[3]
                second = part == "second estimator" and name.startswith("training")
                found["second_" + name if second else name] = f"{part}: {title}"
                marker = None
    return found


def test_points_add_up():
    points = {"bonus": 0, "all": 0}
    for path in GRADING.glob("test_part*.py"):
        for line in path.read_text().splitlines():
            if line.startswith("@pytest.mark.item("):
                points["bonus" if '"bonus 8"' in line else "all"] += int(line.split('"')[2].strip(" ,"))
    assert points == {"bonus": 10, "all": 100}


def test_a_dense_solution_gets_all_points(tmp_path):
    results, rubric = grade(DENSE, tmp_path / "results.json")
    assert lost(results) == []
    assert results["score"] == 110
    assert "100 / 100" in rubric


def test_every_wrong_solution_is_expected():
    assert {path.stem for path in (GRADING / "wrong").glob("*.py")} == set(SLIPS)


@pytest.mark.parametrize(
    "slip", [slip if slip in QUICK else pytest.param(slip, marks=pytest.mark.slow) for slip in sorted(SLIPS)]
)
def test_a_slip_loses_its_own_points_and_no_others(slip, tmp_path):
    code = (GRADING / "wrong" / f"{slip}.py").read_text()
    folder = with_changes(tmp_path / "submission", code)
    options = () if "def train" in code else WITHOUT_TRAINING
    results, rubric = grade(folder, tmp_path / "results.json", *options)
    names = titles()
    assert set(lost(results)) == {names[name] for name in SLIPS[slip]}, rubric


HOSTILE = """
import os, signal, sys, time
import solution
from slip_settings import RESULTS, TESTS

def preprocess(train, test, seed):
    while True:
        pass

def precision_matrix(**named):
    hoard = []
    while True:
        hoard.append(b"x" * 2**24)

def quadratic_form(**named):
    os._exit(0)

def is_positive_definite(**named):
    return [[True, False], [True]]

def log_partition(**named):
    sys.exit(0)

def sample(epsilon, **named):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
    return epsilon * float("nan")

def noise_log_density(images, **named):
    return images

def nce_loss(**named):
    for _ in range(3000):
        print("x" * 10000)
    return solution.nce_loss(**named)

nce_gradient = None

def second_estimator():
    for attack in (
        lambda: open(RESULTS, "w"),
        lambda: open(TESTS + "/grader/reference.py").read() and open(RESULTS, "w"),
        lambda: os.kill(os.getppid(), signal.SIGKILL),
    ):
        try:
            attack()
        except OSError:
            pass
    os.killpg(0, signal.SIGKILL)

def train(**named):
    def deeper(): return deeper()
    deeper()
"""


@pytest.mark.slow
def test_a_hostile_submission_harms_only_itself(tmp_path):
    folder = with_changes(tmp_path / "submission", HOSTILE)
    (folder / "slip_settings.py").write_text(f"RESULTS, TESTS = {str(tmp_path / 'results.json')!r}, {str(GRADING)!r}\n")
    started = time.monotonic()
    results, rubric = grade(folder, tmp_path / "results.json")
    assert time.monotonic() - started < 180
    kept = {"loss", "loss_noise_ratio", "loss_stable", "length", "topics"}
    names = titles()
    assert {t["name"] for t in results["tests"]} - set(lost(results)) == {names[name] for name in kept}, rubric
    # Memory has a test of its own below: a machine that hands out 3 GiB slowly runs out of time first.
    for sentence in ("in time", "ended the process", "SystemExit", "NaN", "no function", "Recursion"):
        assert sentence in rubric
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(folder) in read(p)]  # none got away


def read(path):
    try:
        return path.read_text()
    except OSError:  # the process has ended meanwhile
        return ""


def test_a_call_that_eats_memory_is_ended_and_named(tmp_path):
    (tmp_path / "adapters.py").write_text(
        "def hoard():\n    kept = []\n    while True:\n        kept.append(bytes([1]) * 2**22)\n"
    )
    submission = Submission(tmp_path, Limits(memory=2**28))
    for said in ("used more than 256 MiB of memory", "it was not called again"):
        with pytest.raises(Failure, match=said):
            submission.call("hoard", seconds=60)
    submission.close()


def test_a_broken_import_costs_all_points_and_is_named(tmp_path):
    folder = with_changes(tmp_path / "submission", "import absent_package\n")
    results, rubric = grade(folder, tmp_path / "results.json")
    assert results["score"] == 0
    assert "No module named 'absent_package'" in rubric


def test_an_empty_folder_scores_zero(tmp_path):
    results, rubric = grade(tmp_path, tmp_path / "results.json")
    assert results["score"] == 0
    assert "put it at the top" in rubric


def test_results_are_valid_at_every_moment_even_when_the_grader_is_killed(tmp_path):
    results = tmp_path / "results.json"
    process = subprocess.Popen(command(DENSE, results, *WITHOUT_TRAINING), stdout=subprocess.DEVNULL)
    seen = 0
    while process.poll() is None and seen < 15:
        if results.exists():
            content = json.loads(results.read_text())
            seen = sum(t["score"] > 0 for t in content["tests"])
            assert len(content["tests"]) >= 30
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads(results.read_text())["score"] > 0


def test_lost_points_are_shares_of_what_there_is():
    assert closeness(0.1, 0.5, 20) == closeness(0.5, 0.5, 20) == 1
    assert closeness(20, 0.5, 20) == closeness(float("nan"), 0.5, 20) == 0
    assert closeness(np.sqrt(10), 0.5, 20) == pytest.approx(0.5)
    assert Lost("", 7).share == 1 and Lost("", -7).share == 0


def test_reference_answers_match_facts_found_elsewhere():
    lattice = reference.precision_matrix(4.5, [-1, -1], 28, 28)
    log_partition = reference.log_partition(lattice)
    assert 784 * np.log(2 * np.pi) - 2 * log_partition == pytest.approx(1077.21448, abs=1e-5)
    eight = reference.precision_matrix(8.5, [-1, -1, -1, -1], 28, 28)
    assert 784 * np.log(2 * np.pi) - 2 * reference.log_partition(eight) == pytest.approx(1605.56416, abs=1e-5)
    # The golden value of one-dimensional NCE: Λ_θ = 2, Λ_n = 1, ν = 2.
    images = [np.array(x, float).reshape(-1, 1, 1) for x in ((0, 1, 2), (0, -1, 3, 0.5, -0.5, 1.5))]
    constant = reference.log_partition(np.array([[2.0]]))
    ratios = [
        reference.log_ratios(np.array([[2.0]]), constant, x, reference.noise_log_density(x, np.ones((1, 1))))
        for x in images
    ]
    assert -reference.nce_loss(*ratios, 2) == pytest.approx(-2.1995960888, abs=1e-9)
    scores = [0.5 * (0.5 - x.reshape(-1, 1) ** 2) for x in images]
    assert -reference.nce_gradient(*ratios, 2, *scores)[0] == pytest.approx(-0.5179196978, abs=1e-9)


SPY = """
import os, signal, socket

def report():
    attacks = {
        "read the tests": lambda: open(TESTS + "/grader/reference.py"),
        "list the tests": lambda: os.listdir(TESTS),
        "read the package": lambda: open(TESTS + "/../../assignment/fit.py"),
        "change itself": lambda: open(__file__, "a"),
        "write elsewhere": lambda: open(TESTS + "/../../written", "w"),
        "kill the grader": lambda: os.kill(os.getppid(), signal.SIGTERM),
        "read the grader's memory": lambda: open(f"/proc/{os.getppid()}/mem", "rb"),
        "read the grader's environment": lambda: open(f"/proc/{os.getppid()}/environ").read(),
        "connect": lambda: socket.create_connection(("127.0.0.1", 9), 1),
    }
    done = []
    for name, attack in attacks.items():
        try:
            attack()
            done.append(name)
        except PermissionError:
            pass
    return ", ".join(done)
"""


def test_a_submission_sees_only_itself(tmp_path):
    (tmp_path / "adapters.py").write_text(f"TESTS = {str(GRADING.resolve())!r}\n" + SPY)
    submission = Submission(tmp_path)
    try:
        done = submission.call("report")
        if submission.held_by != "landlock":
            pytest.skip("needs Landlock (Linux 6.12 for all of it)")
        assert done == ""
    finally:
        submission.close()


def test_forged_messages_are_refused():
    value = {"a": [1, 2.5, "x", None, np.arange(6.0).reshape(2, 3)]}
    back = wire.decode(io.BytesIO(wire.encode(value)).read)
    assert back["a"][:4] == value["a"][:4]
    np.testing.assert_array_equal(back["a"][4], value["a"][4])
    for text in (
        b"{",
        b'{"array": ["object", [2]]}',
        b'{"array": ["float64", [-1]]}',
        b'{"array": ["float64", [1e300]]}',
    ):
        with pytest.raises(wire.BadMessage):
            wire.decode(io.BytesIO(len(text).to_bytes(4, "big") + text).read)
    with pytest.raises(wire.BadMessage):
        wire.decode(io.BytesIO(b"\xff\xff\xff\xff").read)
    with pytest.raises(wire.BadMessage):
        wire.encode(np.array([object()]))


def test_a_class_is_graded_into_one_file_and_again_from_where_it_stopped(tmp_path):
    students = tmp_path / "students"
    shutil.copytree(DENSE, students / "ada")
    (students / "bob").mkdir()
    table = tmp_path / "grades.csv"
    run = [sys.executable, str(GRADING / "grade_all.py"), str(students), str(table), "-k", "samples or part6"]
    subprocess.run(run, check=True, capture_output=True)
    whole = table.read_text()
    rows = list(csv.DictReader(whole.splitlines()))
    assert [(r["submission"], r["total"], r["samples"], r["status"]) for r in rows] == [
        ("ada", "8.0", "8.0", "graded"),
        ("bob", "0.0", "0.0", "graded"),
    ]
    table.write_text(whole[: whole.rindex("bob") + 5])  # as if interrupted in the middle of a line
    second = subprocess.run(run, check=True, capture_output=True, text=True)
    assert "ada" not in second.stdout and "bob" in second.stdout
    assert [r["submission"] for r in csv.DictReader(table.read_text().splitlines())] == ["ada", "bob"]


def test_gradescope_archive_runs(tmp_path):
    source = tmp_path / "source"
    subprocess.run([sys.executable, str(GRADING / "gradescope" / "pack.py"), str(tmp_path / "a.zip")], check=True)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
        assert not any("dense" in name or "adapters" in name for name in archive.namelist())
        archive.extractall(source)
    shutil.copytree(DENSE, tmp_path / "submission")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@" -k part6\n')
    (tmp_path / "venv" / "bin" / "python").chmod(0o755)
    run = ["bash", str(source / "run_autograder")]
    subprocess.run(run, check=True, capture_output=True, env=os.environ | {"AUTOGRADER": str(tmp_path)})
    assert json.loads((tmp_path / "results" / "results.json").read_text())["score"] == 8
