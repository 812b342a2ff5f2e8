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


def start(*arguments, environment=None):
    """`python -m assignment` with arguments, as a process whose output is piped."""
    command = [sys.executable, "-m", "assignment", *map(str, arguments)]
    # Tests that run in the background may have inherited that Ctrl-C is ignored.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    everything = os.environ | (environment or {})
    return subprocess.Popen(command, cwd=ROOT, env=everything, stdout=-1, stderr=-1, preexec_fn=heed)


def without_progress(said):
    """The lines of a text but for those of a fit's progress."""
    return [line for line in said.splitlines() if ": step " not in line]


def results(output):
    """All that finished parts left in a folder, by name; what depends on the clock is left out."""
    found = {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.rglob("*")) if path.is_file()}
    for name in found:
        if name.endswith(".json"):
            found[name] = {**json.loads(found[name]), "seconds": None}
        elif name.endswith(".tex"):
            found[name] = None  # It has the seconds in a column.
    return found
