"""From a part's name and options to its results, figures and table, and the words on the terminal."""

import sys
import tempfile
from contextlib import nullcontext
from dataclasses import asdict, fields, replace
from pathlib import Path

import tensorflow as tf

from assignment.data import prepare
from assignment.distribution import is_chief, make_strategy
from assignment.parts import bench, report
from assignment.parts.exercise import Exercise, Settings
from assignment.parts.plan import done, plan, planned_name, run
from assignment.parts.second import flip
from assignment.parts.unfinished import Unfinished
from assignment.reporting.figures import draw_part
from assignment.reporting.selection import part_fits
from assignment.reporting.tables import tabulate_part
from assignment.reporting.terminal import terminal_table

RESUMED = ("bonus8", "report")


def run_part(part, options):
    """Runs a part with the command line's options (a dict): fits, saves, draws, tabulates, prints."""
    if part == "data":
        print(prepare(options["dataset"], options["data_dir"], options["idx_dir"]))
        return
    if part == "bench":
        bench.run(options["output"])
        return
    settings = Settings(**{field.name: options[field.name] for field in fields(Settings) if field.name in options})
    strategy = make_strategy(settings.strategy)
    # Only one of several workers leaves anything behind; the others do the same where nobody looks.
    with nullcontext(settings.output) if is_chief(strategy) else tempfile.TemporaryDirectory() as output:
        _run(part, replace(settings, output=output), strategy)


def _run(part, settings, strategy):
    Path(settings.output).mkdir(parents=True, exist_ok=True)
    tf.config.experimental.enable_op_determinism()  # The same seed gives the same bytes.
    exercise = Exercise(settings, strategy)
    say(f"{exercise.train.name}: {len(exercise.train)} training images, {exercise.train.source}")
    if part == "second":
        say("The coin (seed {}) fell {}: {}.".format(settings.coin_seed, *flip(settings.coin_seed)))
    results = Path(settings.output) / "results" / exercise.train.name
    # Workers must do the same steps, and do not know what the others have finished.
    fresh = settings.fresh or settings.strategy == "multiworker"
    decisive = asdict(replace(settings, output="", fresh=False)) | {"sha256": exercise.train.sha256}
    with Unfinished(results, part, decisive, fresh) as unfinished:
        for kind, home, asked in plan(part, settings):
            _fit(kind, home, asked, exercise, unfinished, keep=part in RESUMED and not fresh)
        if not is_chief(strategy):
            return
        if part == "report":
            print(report.write(results, settings.output))
        else:
            present(part, results, settings.output)


def _fit(kind, home, settings, exercise, unfinished, keep):
    """One planned fit, unless this run made it before it was killed, or any run did that may be kept."""
    name = f"{home}-{planned_name(kind, settings)}"
    if (keep or unfinished.has(name)) and done(kind, home, exercise, settings):
        say(f"{kind} {settings.weights} {settings.connectivity}: there already")
    else:
        run(kind, home, exercise, settings, unfinished.checkpoint(name))
        unfinished.finish(name)


def present(part, results, output):
    """Draws and tabulates a part from its saved results, and prints its table."""
    drawn = draw_part(part, results, output)
    tables = tabulate_part(part, results, output)
    print(terminal_table(part_fits(part, results)))
    if drawn:
        print(f"{len(drawn)} figures in {Path(drawn[0]).parent}; tables: {', '.join(map(str, tables))}")


def say(words):
    print(words, file=sys.stderr, flush=True)
