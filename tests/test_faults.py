"""Parts that are killed, interrupted, crowded, or short of room: the same results in the end, or one clear line.

KILLS=20 python -m pytest tests/test_faults.py
"""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_parts import ROOT, results, small, start, without_progress

from assignment.exercise import report, run
from assignment.results import locked

# Each run is a process of its own, but TensorFlow is imported only once.
KILLED = """
import os, signal, sys
import assignment.exercise.run
from assignment.command_line import main

def run(output, killed_at=None):
    \"\"\"The exit status of a part that is killed while it writes its file of this number.\"\"\"
    written, replace = [], os.replace

    def replace_or_die(*paths):
        written.append(paths)
        if len(written) == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)

    child = os.fork()
    if not child:
        os.replace = replace_or_die
        os._exit(main([*options, "--output", output]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

whole, killed, kills, *options = sys.argv[1:]
assert run(whole) == 0
files = sum(len(names) for _, _, names in os.walk(whole))
for kill in range(int(kills)):
    assert run(killed, 1 + (3 + 7 * kill) % files) == -signal.SIGKILL  # First at the second file of the second fit.
assert run(killed) == 0
"""


@pytest.mark.slow
def test_killed_parts_end_as_if_never_interrupted(tmp_path):
    """SIGKILL while a file is written, against a run in peace."""
    whole, killed, kills = tmp_path / "whole", tmp_path / "killed", os.environ.get("KILLS", "1")
    command = [sys.executable, "-c", KILLED, whole, killed, kills, "sm", *small(tmp_path)[:-2]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected, found = results(whole), results(killed)
    assert {Path(name).suffix for name in expected} == {".json", ".npz", ".pdf", ".png", ".tex"}
    assert found.keys() - {name for name in found if name.endswith(".partial")} == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize("fits", [False, True])
def test_ctrl_c_ends_at_once_with_one_line(tmp_path, fits):
    """While TensorFlow is imported, or with the fit under way."""
    process = start("nce", "--dataset", "mnist_sample", "--epochs", "500", "--output", tmp_path)
    if fits:
        process.stderr.readline()  # It has begun.
        time.sleep(2)
    else:
        while "tensorflow" not in Path(f"/proc/{process.pid}/maps").read_text():
            time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    said = without_progress(process.communicate(timeout=300)[1].decode())
    assert time.monotonic() - begun < 5
    assert process.returncode == 130 and said[-1:] == ["assignment: interrupted; what was finished is kept"]
    assert not [line for line in said[:-1] if not line.startswith(("mnist_sample: ", "writing the preprocessed "))]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_two_runs_into_one_folder(tmp_path, run_here):
    """The second one ends in one line; another part may be run meanwhile."""
    options = small(tmp_path)
    with locked(tmp_path / "out" / "results" / "small" / "ml", "part ml"):
        status, _, said = run_here("ml", *options)
        assert status == 2 and "part ml is being run into" in said[-1] and "choose another --output" in said[-1]


def test_a_full_disk_is_one_line(tmp_path, run_here, monkeypatch):
    """No file may grow beyond so many bytes once the images are prepared: the saved fit fails in the middle."""
    limits, fit = resource.getrlimit(resource.RLIMIT_FSIZE), run._fit

    def limited(*arguments):
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
        try:
            return fit(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(run, "_fit", limited)
    status, _, said = run_here("ml", *small(tmp_path))
    assert status == 2 and said[-1].startswith("assignment: cannot write "), said
    assert not any("Traceback" in line for line in said) and "make room, or name another folder" in said[-1]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_without_latex_the_report_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(report.shutil, "which", lambda name: None)
    words = report.typeset(tmp_path)
    assert "latexmk is not installed" in words and "apt-get install" in words and "\n" not in words
