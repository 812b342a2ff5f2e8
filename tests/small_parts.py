"""The parts of the exercise on small images: the middle 8 × 8 pixels of the bundled sample's digits."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "assignment" / "data" / "mnist_sample.npz"


def small(folder):
    """Writes the images as a user's own file in a folder; returns the options of a run that leaves all in there."""
    with np.load(SAMPLE) as sample:
        images = {split: sample[split][:600, 10:18, 10:18] for split in ("train", "test")}
    np.savez(folder / "small.npz", **images)
    return ["--images", folder / "small.npz", "--data-dir", folder / "data", "--output", folder / "out"]


def start(*arguments, python=("-m", "assignment"), environment=None):
    """`python -m assignment` with arguments, as a process whose output is piped."""
    everything = {**os.environ, "ASSIGNMENT_OFFLINE": "1", **(environment or {})}
    command = [sys.executable, *python, *map(str, arguments)]
    # Tests that run in the background may have inherited that Ctrl-C is ignored.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=ROOT, env=everything, stdout=-1, stderr=-1, preexec_fn=heed)


def ended(process):
    """(exit status, what it printed, the lines that it said on stderr but for its progress)."""
    printed, said = (text.decode() for text in process.communicate(timeout=300))
    return process.returncode, printed, [line for line in said.splitlines() if ": step " not in line]


def run(*arguments, **options):
    """What `ended` says of `start`."""
    return ended(start(*arguments, **options))


def results(output):
    """All that finished parts left in a folder, by name; what depends on the clock is left out."""
    found = {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.rglob("*")) if path.is_file()}
    for name in found:
        if name.endswith(".json"):
            found[name] = {**json.loads(found[name]), "seconds": None}
        elif name.endswith(".tex"):
            found[name] = None  # It has the seconds in a column.
    return found
