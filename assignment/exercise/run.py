"""From a part's name and options to its results, figures and table, and the words on the terminal."""

import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

import assignment
from assignment.data import load_splits
from assignment.data.store import data_folder
from assignment.errors import UserError
from assignment.exercise import record, report
from assignment.exercise.data import ExerciseData
from assignment.exercise.plan import Planned, flip, plan
from assignment.exercise.record import Trained, fit_name_for, folder, request, save
from assignment.exercise.settings import Settings
from assignment.fits.bridges import log_partition_from_diagonal
from assignment.fits.result import FitResult
from assignment.lattice.precision import StencilPrecision
from assignment.progress import Progress, say
from assignment.reporting.figures import draw_part
from assignment.reporting.selection import COMPARING, part_fits
from assignment.reporting.tables import tabulate_part, terminal_table
from assignment.results import Fit, load_fit, locked, save_fit
from assignment.training.replicas import is_chief, make_strategy

KEEPING = ("bonus8", "report")  # the parts of many fits: those that are there are kept


def run_part(part: str, options: dict[str, Any]) -> None:
    """Runs a part with the command line's options: fits, saves, draws, tabulates, prints."""
    settings = Settings(**options)
    if part == "data":
        train, test = load_splits(**settings.of_data())
        height, width = train.mean.shape
        counts = f"{len(train.images):,} training and {len(test.images):,} test images of {height}×{width} pixels"
        return say(f"{train.name}: {counts} in {data_folder(settings.data_dir)} ({train.source})", sys.stdout)
    if part == "bench":
        from assignment.benchmark.run import run

        return run(settings.output)
    strategy = make_strategy(settings.strategy)
    # Only one of several workers leaves anything behind; the others do the same where nobody looks.
    with nullcontext(settings.output) if is_chief(strategy) else tempfile.TemporaryDirectory() as output:
        settings = replace(settings, output=output)
        Path(output).mkdir(parents=True, exist_ok=True)
        tf.config.experimental.enable_op_determinism()  # The same seed gives the same bytes.
        data = ExerciseData(settings, strategy)
        say(f"{data.train.name}: {len(data.train.images):,} training images ({data.train.source})")
        if part == "second":
            say("The coin (seed {}) fell {}: {}.".format(settings.coin_seed, *flip(settings.coin_seed)))
        results = Path(output) / "results" / data.train.name
        with locked(results / part, f"part {part}"):
            fits = []
            # Several workers must do the same steps, and do not know what the others have finished.
            keep = part in KEEPING and not settings.fresh and settings.strategy != "multiworker"
            asked = plan(part, settings)
            for planned in asked:
                fit = keep and _kept(planned, data)
                if part in KEEPING and not fit:
                    say(_left(len(asked), fits))
                fits.append(fit or _fit(planned, data))
            if is_chief(strategy):
                _present(part, fits, results, output)


def _left(count: int, done: list[Fit]) -> str:
    """Which of so many fits comes next, and about how long they will take, judged by those that are done."""
    minutes = (count - len(done)) * sum(fit.record["seconds"] + 1 for fit in done) / max(60 * len(done), 1)
    return f"fit {len(done) + 1} of {count}" + (f", about {minutes:.0f} min left" if minutes > 0.5 else "")


def _kept(planned: Planned, data: ExerciseData) -> Fit | None:
    """The whole saved fit for just these settings and data, if there is one; another part's is copied."""
    row, part, settings = planned
    name = fit_name_for(row, settings)
    for place in dict.fromkeys((part, row.name, "second")):
        try:
            fit = load_fit(folder(settings, data, place), name)
            arrays = fit.arrays  # Reading them finds a damaged file.
        except UserError:
            continue
        same_data = fit.record["dataset"]["sha256"] == data.train.sha256
        same_request = request(settings).items() <= fit.record.get("request", {}).items()
        facts = {key: value for key, value in fit.record.items() if key != "coin"}
        facts |= {"part": part} | _coin(part, settings)
        if same_data and same_request and (place != part or facts == fit.record):
            say(f"{name}: there already")
            return fit if place == part else save_fit(folder(settings, data, part), name, facts, arrays)
    return None


def _coin(part, settings):
    return {"coin": {"seed": settings.coin_seed, "outcome": flip(settings.coin_seed)[0]}} if part == "second" else {}


def _fit(planned: Planned, data: ExerciseData) -> Fit:
    """Makes one fit and saves it."""
    row, part, settings = planned
    with Progress(fit_name_for(row, settings)) as progress:
        if not row.minibatches:
            layer, result, seconds = data.maximum_likelihood(settings.connectivity, settings.weights)
        else:
            layer = StencilPrecision(settings.connectivity, settings.weights).match_variances(data.train.images)
            arguments = dict(row.options, optimizer=settings.optimizer, strategy=data.strategy)
            arguments |= getattr(record, row.arguments)(data, settings) if row.arguments else {}
            start = time.perf_counter()
            result = getattr(assignment, row.fit)(layer, data.train, seed=settings.seed, progress=progress, **arguments)
            seconds = time.perf_counter() - start
    if settings.log_partition:
        result = _with_constant(layer, result, settings.seed)
    trained = Trained(data, row, part, settings, layer, result, seconds)
    facts, arrays = getattr(record, row.findings)(trained) if row.findings else ({}, {})
    return save(trained, facts | _coin(part, settings), arrays)


def _with_constant(layer: StencilPrecision, result: FitResult, seed: int) -> FitResult:
    """The result with log Z of the fit learned by bridges; where they do not reach, its status says so."""
    try:
        constant, error = log_partition_from_diagonal(layer, seed)
    except ArithmeticError as error:
        return replace(result, status=f"{result.status}; log Z was not learned: {error}")
    return replace(result, log_partition=constant, standard_error=error)


def _present(part: str, fits: list[Fit], results: Path, output: str) -> None:
    """Draws and tabulates a part from its saved results, and prints its table."""
    if part == "report":
        return say(report.write(results, output, fits[0].record["seed"]), sys.stdout)
    drawn, tables = draw_part(part, results, output), tabulate_part(part, results, output)
    say(terminal_table(part_fits(part, results) if part in COMPARING else fits), sys.stdout)
    say(f"{len(drawn)} figures in {Path(output) / 'figures'}; tables: {', '.join(map(str, tables))}", sys.stdout)
