"""From a part's name and options to its results, figures and table, and the words on the terminal."""

import sys
from dataclasses import fields
from pathlib import Path

import tensorflow as tf

from assignment.data import prepare
from assignment.parts import bench, report
from assignment.parts.exercise import Exercise, Settings
from assignment.parts.plan import done, plan, run
from assignment.parts.second import flip
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
        for what, milliseconds in bench.run():
            print(f"{milliseconds:8.2f} ms  {what}")
        return
    settings = Settings(**{field.name: options[field.name] for field in fields(Settings) if field.name in options})
    Path(settings.output).mkdir(parents=True, exist_ok=True)
    tf.config.experimental.enable_op_determinism()  # The same seed gives the same bytes.
    exercise = Exercise(settings)
    say(f"{exercise.train.name}: {len(exercise.train.images)} training images, {exercise.train.source}")
    if part == "second":
        say("The coin (seed {}) fell {}: {}.".format(settings.coin_seed, *flip(settings.coin_seed)))
    for kind, home, asked in plan(part, settings):
        if part in RESUMED and not settings.fresh and done(kind, home, exercise, asked):
            say(f"{kind} {asked.weights} {asked.connectivity}: there already")
        else:
            run(kind, home, exercise, asked)
    results = Path(settings.output) / "results" / exercise.train.name
    if part == "report":
        print(report.write(results, settings.output))
    else:
        present(part, results, settings.output)


def present(part, results, output):
    """Draws and tabulates a part from its saved results, and prints its table."""
    drawn = draw_part(part, results, output)
    tables = tabulate_part(part, results, output)
    print(terminal_table(part_fits(part, results)))
    if drawn:
        print(f"{len(drawn)} figures in {Path(drawn[0]).parent}; tables: {', '.join(map(str, tables))}")


def say(words):
    print(words, file=sys.stderr, flush=True)
