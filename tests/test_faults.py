"""Parts that are killed, interrupted, crowded, or short of room: the same results in the end, or one clear line.

KILLS=20 python -m pytest tests/test_faults.py
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from small_parts import ended, results, run, small, start

from assignment.exercise import report
from assignment.results import locked

KILLS = int(os.environ.get("KILLS", 2))


@pytest.mark.slow
def test_killed_parts_end_as_if_never_interrupted(tmp_path):
    """SIGKILL at random moments, against a run in peace."""
    options, whole, killed = small(tmp_path), tmp_path / "whole", tmp_path / "killed"
    begun = time.monotonic()
    assert run("nce", *options[:-1], whole)[0] == 0
    seconds, chance = time.monotonic() - begun, random.Random(0)
    for _ in range(KILLS):
        process = start("nce", *options[:-1], killed)
        process.stderr.readline()  # It has begun.
        time.sleep(chance.uniform(0, 0.7 * seconds))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert run("nce", *options[:-1], killed)[0] == 0
    expected, found = results(whole), results(killed)
    assert {Path(name).suffix for name in expected} == {".json", ".npz", ".pdf", ".png", ".tex"}
    assert found.keys() - {name for name in found if name.endswith(".partial")} == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_ctrl_c_ends_at_once_with_one_line(tmp_path, seconds):
    """While TensorFlow is imported, or with the fit under way."""
    process = start("nce", "--dataset", "mnist_sample", "--epochs", "500", "--output", tmp_path)
    if seconds > 1:
        process.stderr.readline()  # It has begun.
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    status, _, said = ended(process)
    assert time.monotonic() - begun < 5
    assert status == 130 and said[-1:] == ["assignment: interrupted; what was finished is kept"]
    assert not [line for line in said[:-1] if not line.startswith(("mnist_sample: ", "writing the preprocessed "))]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_two_runs_into_one_folder(tmp_path):
    """The second one ends in one line; another part may be run meanwhile."""
    options = small(tmp_path)
    with locked(tmp_path / "out" / "results" / "small" / "ml", "part ml"):
        status, _, said = run("ml", *options)
        assert status == 2 and "part ml is being run into" in said[-1] and "choose another --output" in said[-1]


@pytest.mark.slow
def test_a_full_disk_is_one_line(tmp_path):
    """No file may grow beyond so many bytes: the saved fit fails in the middle."""
    status, _, said = run("ml", *small(tmp_path), python=("-c", _LIMITED.format(limit=5_000)))
    assert status == 2 and said[-1].startswith("assignment: cannot write "), said
    assert not any("Traceback" in line for line in said) and "make room, or name another folder" in said[-1]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


# The limit begins with the first fit: the images are prepared by then.
_LIMITED = """
import resource, sys
from assignment.command_line import main
from assignment.exercise import run

def limited(*arguments):
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
    return fit(*arguments)

fit, run._fit = run._fit, limited
sys.exit(main(sys.argv[1:]))
"""


def test_a_read_only_folder_is_one_line():
    """Of the kernel's, which not even root may write to."""
    status, _, said = run("ml", "--dataset", "mnist_sample", "--output", "/sys/reports")
    assert status == 2 and len(said) == 1 and "/sys/reports" in said[0] and "choose another --output" in said[0]


def test_without_latex_the_report_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(report.shutil, "which", lambda name: None)
    words = report.typeset(tmp_path)
    assert "latexmk is not installed" in words and "apt-get install" in words and "\n" not in words
