"""Part `bench`: times and memory, ours against the dense way, to a table, a figure and a JSON file."""

import json
import subprocess
import sys
from pathlib import Path

from assignment.benchmark.large_fit import recover
from assignment.benchmark.step import nce_steps, telescoped_seconds_per_pixel
from assignment.benchmark.timing import machine
from assignment.progress import Progress
from assignment.reporting.bench import bench_table, draw_bench, terminal_lines
from assignment.reporting.files import write_text

SIDES = {
    "dense": (8, 16, 28, 48, 64, 100),
    "stencil, shared": (8, 16, 28, 48, 64, 100, 256, 512, 1024),
    "stencil, per_edge": (8, 16, 28, 48, 64, 100, 128, 256),
}
STEP_SIDES = (28, 64, 128, 256, 512, 1024)
LARGE = 256


def run(output):
    """Measures everything; writes results/bench.json, tables/bench.tex and figures/bench-sizes.*; prints a summary."""
    results = {"machine": machine(), "steps": nce_steps(), "sizes": _sizes()}
    with Progress("steps") as progress:
        results["pixel_steps"] = {}
        for k, side in enumerate(STEP_SIDES):
            progress(k + 1, len(STEP_SIDES), f"telescoped NCE, {side} × {side}")
            results["pixel_steps"][side] = telescoped_seconds_per_pixel(side)
    with Progress(f"telescoped {LARGE} × {LARGE}") as progress:
        results["fit"] = recover(LARGE, progress=lambda step, stages, *_: progress(step, None, f"stage {stages}"))
    output = Path(output)
    write_text(output / "results" / "bench.json", json.dumps(results, indent=2) + "\n")
    write_text(output / "tables" / "bench.tex", bench_table(results))
    draw_bench(results, output / "figures" / "bench-sizes")
    print("\n".join(terminal_lines(results)))


def _sizes():
    cases = [(way, side) for way, sides in SIDES.items() for side in sides]
    found = {way: {} for way in SIDES}
    with Progress("sizes") as progress:
        for k, (way, side) in enumerate(cases):
            progress(k + 1, len(cases), f"{way} {side} × {side}")
            found[way][side] = _measured(way, side)
    return found


def _measured(way, side):
    """One case in a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "assignment.benchmark.case", way, str(side)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if done.returncode:
        raise RuntimeError(f"the case {way}, {side} × {side}, failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)
