"""All that `make bench` measures, to a table, a figure, a JSON file and words."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from assignment.benchmark.case import new_layer
from assignment.benchmark.likelihood import newton
from assignment.benchmark.step import nce_steps, telescoped_seconds_per_pixel
from assignment.fits.telescoped_nce import fit_telescoped_nce
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import double, shared_information
from assignment.progress import Progress, say
from assignment.reporting.bench import bench_table, draw_bench, terminal_lines
from assignment.results import write_text

SIDES = {
    "dense": (8, 16, 28, 48, 64, 100),
    "stencil, shared": (8, 16, 28, 48, 64, 100, 256, 512, 1024),
    "stencil, per_edge": (8, 16, 28, 48, 64, 100, 128, 256),
}
STEP_SIDES = {"shared": (28, 64, 128, 256, 512, 1024), "per_edge": (28, 64, 128)}
NEWTON_SIDES = {"dense": (8, 16, 28), "sparse": (8, 16, 28, 48, 64, 128)}
LARGE, LARGE_TRUTH = 256, (3.0, -0.7, -0.6)
LARGE_IMAGES, CHUNK = 400, 50  # of which so many are drawn at once


def run(output: str | Path) -> None:
    """Measures everything; writes results/bench.json, tables/bench.tex and figures/bench-*; prints a summary."""
    results = {"machine": machine(), "steps": nce_steps(), "sizes": _by_side("sizes", SIDES, _measured)}
    results["pixel_steps"] = _by_side("telescoped step", STEP_SIDES, telescoped_seconds_per_pixel)
    results["newton"] = _by_side("maximum likelihood, per edge", NEWTON_SIDES, newton)
    with Progress(f"telescoped {LARGE} × {LARGE}") as progress:
        results["fit"] = recover(LARGE, progress)
    output = Path(output)
    write_text(output / "results" / "bench.json", json.dumps(results, indent=2) + "\n")
    write_text(output / "tables" / "bench.tex", bench_table(results))
    draw_bench(results, output / "figures")
    say("\n".join(terminal_lines(results)), sys.stdout)


def _by_side(name, sides, measure):
    """{way: {side: measure(way, side)}} for {way: sides}."""
    cases = [(way, side) for way, each in sides.items() for side in each]
    found = {way: {} for way in sides}
    with Progress(name) as progress:
        for k, (way, side) in enumerate(cases):
            progress(k + 1, len(cases), f"{way} {side} × {side}")
            found[way][side] = measure(way, side)
    return found


def _measured(way, side):
    """One case in a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "assignment.benchmark.case", way, str(side)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if done.returncode:
        raise RuntimeError(f"the case {way}, {side} × {side}, failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def recover(side: int, progress: Progress | None = None) -> dict[str, Any]:
    """Fits telescoped NCE to draws of the lattice with weights LARGE_TRUTH on side × side pixels.

    Returns:
      A dict: `side`, `images`, `truth`, `weights` and `standard_errors` (where the last gradient sees as many noise
      images as images), `log_partition`, `exact` (of the fitted weights), `standard_error` in nats, and `seconds`.
    """
    layer = new_layer("shared", side, LARGE_TRUTH)
    errors = np.sqrt(np.diag(np.linalg.inv(shared_information(layer)[1])) * 2 / LARGE_IMAGES)
    truth = LatticeGaussian(layer)
    data = np.concatenate([truth.sample_by_factor(CHUNK, seed=(0, k)) for k in range(0, LARGE_IMAGES, CHUNK)])
    start = time.monotonic()
    result = fit_telescoped_nce(layer.match_variances(data), data, seed=0, passes=1, progress=progress)
    return {
        "side": side,
        "images": LARGE_IMAGES,
        "truth": LARGE_TRUTH,
        "weights": layer.theta.numpy().tolist(),
        "standard_errors": errors.tolist(),
        "log_partition": result.log_partition,
        "standard_error": result.standard_error,
        "exact": float(LatticeGaussian(layer.operator(double(layer))).log_partition()),
        "seconds": time.monotonic() - start,
    }


def machine() -> str:
    """What the numbers were measured on, in words."""
    devices = tf.config.list_physical_devices("GPU")
    if devices:
        names = [tf.config.experimental.get_device_details(device).get("device_name", "GPU") for device in devices]
        return f"{len(devices)} GPU ({', '.join(sorted(set(names)))}), TensorFlow {tf.__version__}"
    return f"{len(os.sched_getaffinity(0))} CPU cores, TensorFlow {tf.__version__}"
