"""The parts of the exercise made small, for tests that kill them again and again.

They are the real ones, from the command line to the tables, on the middle 8 × 8 pixels of the bundled sample's digits,
with few steps and few draws; of the 66 fits of bonus8 and report, and of the figures, only some. Every fit says that it
took one second, so that all that is left is the same from run to run.

    python small_parts.py [--jumping-clock] OUTPUT PART ...    # one after the other, but for those that are done
"""

import functools
import random
import sys
import time
from pathlib import Path

from assignment import checkpoint, data
from assignment.batches import ArrayImages
from assignment.command_line import main
from assignment.estimators import bridges, telescoping
from assignment.parts import exercise, maximum_likelihood, nce, report, run, second, unfinished
from assignment.parts.record import save
from assignment.reporting.figures import draw_part

STEPS = 12
LEFT_OUT = {"bonus8": 9, "report": 9}  # Every so manieth fit is made.
DRAWN = ("ml", "sm")
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
    run.draw_part = lambda part, *arguments: draw_part(part, *arguments) if part in DRAWN else []
    report.typeset = report.draw_part = lambda *arguments, **options: []
    maximum_likelihood.save = nce.save = second.save = lambda *given, **facts: save(*given, **facts | {"seconds": 1.0})


def results(output):
    """The bytes of all that finished fits and parts left in a folder, by name."""
    files = (path for path in sorted(output.rglob("*")) if path.is_file() and ".unfinished" not in path.parts)
    return {str(path.relative_to(output)): path.read_bytes() for path in files}


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
