"""Parts that are killed, interrupted, crowded, or short of room: the same results in the end, or one clear line.

KILLS=20 python -m pytest tests/test_faults.py
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_parts import results

from assignment.parts import report

ROOT = Path(__file__).parents[1]
SMALL = [sys.executable, str(ROOT / "tests" / "small_parts.py")]
PARTS = ("ml", "nce", "cnce", "sm", "second", "bonus8", "report")
KILLS = int(os.environ.get("KILLS", 2))


def start(command, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True, **options)


def ended(process):
    """(exit status, what it said on stderr without its progress bars)."""
    said = process.communicate(timeout=300)[1]
    return process.returncode, [line for line in said.splitlines() if ": step " not in line]


def wait_for_a_step(process):
    while line := process.stderr.readline():
        if ": step " in line:
            return
    raise AssertionError("the process ended before its first step")


@pytest.mark.slow
def test_killed_parts_end_as_if_never_interrupted(tmp_path):
    """SIGKILL at random moments, and a clock that jumps, against two runs at once into one folder."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    both = [start([*SMALL, str(whole), *parts]) for parts in (PARTS[:3], PARTS[3:5])]
    assert [ended(process)[0] for process in both] == [0, 0]
    chance = random.Random(0)
    for _ in range(KILLS):
        process = start([*SMALL, "--jumping-clock", str(killed), *PARTS])
        wait_for_a_step(process)
        time.sleep(chance.uniform(0, 4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        # There is something to go on from: a checkpoint, a fit, or whole parts.
        assert [p for p in killed.rglob("*") if p.name == "checkpoint" or p.suffix in (".done", ".ended")]
    made = {path: path.stat().st_mtime_ns for path in killed.rglob("*.json")}
    for folder in (whole, killed):
        assert ended(start([*SMALL, str(folder), *PARTS]))[0] == 0
    # What was finished is not made again; but for the fit that was saved when the kill came, and not yet noted down.
    assert made and sum(path.stat().st_mtime_ns != then for path, then in made.items()) <= 1
    expected, found = results(whole), results(killed)
    assert found.keys() == expected.keys()
    assert {Path(name).suffix for name in found} >= {".json", ".npz", ".pdf", ".png", ".tex"} and len(found) > 60
    assert [name for name in found if found[name] != expected[name]] == []
    assert not [path for path in killed.rglob("*") if ".partial" in path.name or path.name == "checkpoint"]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_ctrl_c_ends_at_once_with_one_line(tmp_path, seconds):
    """While TensorFlow is imported, or with the fit under way."""
    process = start(
        [sys.executable, "-m", "assignment", "nce", "--dataset", "mnist_sample", "--output", str(tmp_path)],
        # Tests that run in the background may have inherited that it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    if seconds > 1:
        process.stderr.readline()  # It has begun.
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    status, said = ended(process)
    assert time.monotonic() - begun < 5
    assert status == 130 and said[-1:] == ["assignment: interrupted; what was finished is kept"]
    assert len(said) == 1
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".json", ".npz", ".tex", ".pdf", ".partial")]


@pytest.mark.slow
@pytest.mark.parametrize("part, limit", [("nce", 5_000), ("ml", 20_000)])
def test_a_full_disk_is_one_line(tmp_path, part, limit):
    """No file may grow beyond so many bytes: a checkpoint, or the saved fit, fails in the middle."""
    process = start(
        [*SMALL, str(tmp_path), part], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (limit,))
    )
    status, said = ended(process)
    assert status == 1 and said[-1] == f"{part} failed"
    assert said[-2].startswith("assignment: cannot write ") and "make room, or name another folder" in said[-2]
    assert len(said) == 3, said  # The first names the data.
    assert not results(tmp_path)


def test_a_read_only_folder_is_one_line(tmp_path):
    """Of the kernel's, which not even root may write to."""
    process = start([sys.executable, "-m", "assignment", "ml", "--dataset", "mnist_sample", "--output", "/sys/reports"])
    status, said = ended(process)
    assert status == 2 and len(said) == 1 and "/sys/reports" in said[0] and "choose another --output" in said[0]


def test_without_latex_the_report_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(report.shutil, "which", lambda name: None)
    words = report.typeset(tmp_path)
    assert "latexmk is not installed" in words and "apt-get install" in words and "\n" not in words
