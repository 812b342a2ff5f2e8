"""From a part's name and options to its results, figures and table, and the words on the terminal."""

import contextlib
from dataclasses import fields
from pathlib import Path

import tensorflow as tf

from assignment.data import prepare
from assignment.parts import maximum_likelihood, nce
from assignment.parts.exercise import Exercise, Settings
from assignment.progress import Progress
from assignment.reporting.figures import draw_part
from assignment.reporting.tables import tabulate_part
from assignment.reporting.terminal import terminal_table

RUNS = {"nce": nce.run, "ml": maximum_likelihood.run}


def run_part(part, options):
    """Runs a part with the command line's options (a dict): fits, saves, draws, tabulates, prints."""
    if part == "data":
        print(prepare(options["dataset"], options["data_dir"], options["idx_dir"]))
        return
    settings = Settings(**{field.name: options[field.name] for field in fields(Settings) if field.name in options})
    Path(settings.output).mkdir(parents=True, exist_ok=True)
    tf.config.experimental.enable_op_determinism()  # The same seed gives the same bytes.
    exercise = Exercise(settings)
    print(f"{exercise.train.name}: {len(exercise.train.images)} training images, {exercise.train.source}")
    fits = RUNS[part](exercise, settings, Progress)
    results = Path(settings.output) / "results" / exercise.train.name
    drawn = draw_part(part, results, settings.output)
    table = tabulate_part(part, results, settings.output)
    print(terminal_table(fits))
    with contextlib.suppress(IndexError):
        print(f"{len(drawn)} figures in {Path(drawn[0]).parent}, table in {table}")
