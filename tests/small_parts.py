"""The parts of the exercise made small, for tests that kill them again and again.

They are the real ones, from the command line to the tables, on the middle 8 × 8 pixels of the bundled sample's digits,
with few steps and few draws; without figures, and of the 66 fits of bonus8 and report only some.

    python small_parts.py [--jumping-clock] OUTPUT PART ...    # one after the other, but for those that are done
"""

import functools
import json
import random
import sys
import time
from pathlib import Path

from assignment import checkpoint, data
from assignment.batches import ArrayImages
from assignment.command_line import main
from assignment.estimators import bridges, telescoping
from assignment.parts import exercise, nce, report, run, second, unfinished

STEPS = 12
LEFT_OUT = {"bonus8": 9, "report": 9}  # Every so manieth fit is made.
MIDDLE = slice(10, 18)


class Cropped(ArrayImages):
    """The first images of a split, cropped."""

    def __init__(self, stream):
        super().__init__(stream.take(600)[:, MIDDLE, MIDDLE])
        self.mean = stream.mean[MIDDLE, MIDDLE]
        self.name, self.source, self.sha256 = stream.name, stream.source, stream.sha256


def make_small():
    """Makes the parts of this process small, for good."""
    whole_plan = run.plan
    run.plan = lambda part, settings: whole_plan(part, settings)[:: LEFT_OUT.get(part, 1)]
    exercise.open_splits = lambda *arguments, **options: [Cropped(s) for s in data.open_splits(*arguments, **options)]
    bridges.SAMPLES_PER_NAT, bridges.PILOT = 200, 50
    nce.telescope = functools.partial(telescoping.telescope, passes=1, batch_size=64)
    nce.COMPARED = 100
    second.fit_conditional_nce = functools.partial(second.fit_conditional_nce, steps=STEPS, noise_ratio=4)
    second.fit_score_matching = functools.partial(second.fit_score_matching, steps=STEPS)
    unfinished.Checkpoint = functools.partial(checkpoint.Checkpoint, every=0)
    report.typeset = run.draw_part = report.draw_part = lambda *arguments, **options: []


def results(output):
    """What parts left in a folder, by name: bytes, or a fit's facts without how many seconds it took."""
    return {
        str(path.relative_to(output)): _timeless(path)
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.suffix in (".json", ".npz")
    }


def _timeless(path):
    if path.suffix == ".npz":
        return path.read_bytes()
    facts = json.loads(path.read_text())
    facts.pop("seconds", None)
    return facts


def jump():
    """Has the clock of this process jump by up to three years, at every look."""
    now, chance = time.time, random.Random(0)
    time.time = lambda: now() + chance.uniform(-1e8, 1e8)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[0] == "--jumping-clock":
        jump()
        arguments.pop(0)
    make_small()
    print("ready", flush=True)
    output = Path(arguments.pop(0))
    for part in arguments:
        ended = output / f"{part}.ended"
        if not ended.exists():
            if main([part, "--dataset", "mnist_sample", "--output", str(output)]):
                sys.exit(f"{part} failed")
            ended.touch()
