"""The bench: every way of working at a small size, and its table, figure and words from made-up results."""

import pytest

from assignment.benchmark.case import WAYS, growth_from_now, measure, side_by_side
from assignment.benchmark.likelihood import newton
from assignment.reporting.bench import bench_table, draw_bench, terminal_lines

OPERATIONS = ("quadratic form", "product", "log det", "sample", "log_prob")


@pytest.fixture
def results():
    cases = {side: {"seconds": dict.fromkeys(OPERATIONS, 1e-6 * side), "bytes": 1000 * side} for side in (8, 28)}
    fit = {"side": 256, "images": 400, "truth": [3, -0.7, -0.6], "weights": [3.1, -0.7, -0.6], "seconds": 38.0}
    fit |= {"standard_errors": [0.1, 0.1, 0.1], "log_partition": 10.5, "exact": 10.0, "standard_error": 0.25}
    return {
        "machine": "2 CPU cores",
        "steps": {"random numbers alone": 0.004, "dense, eager": 0.06, "stencil, shared": 0.005},
        "sizes": {way: cases for way in WAYS},
        "pixel_steps": {"shared": {28: 1e-8, 1024: 2e-8}},
        "newton": {way: {8: newton(way, 4)} for way in ("dense", "sparse")},
        "fit": fit,
    }


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_measured(way):
    found = measure(way, 8)
    assert set(found["seconds"]) == set(OPERATIONS) and all(0 < s < 1 for s in found["seconds"].values())
    assert found["bytes"] >= 0


def test_memory_that_was_given_back_counts_and_what_was_there_before_does_not():
    held = bytearray(50_000_000)
    growth = growth_from_now()
    for _ in range(2):
        bytearray(80_000_000)
    assert 75e6 < growth() < 100e6 and len(held)


def test_functions_take_turns():
    order = []
    found = side_by_side({name: lambda name=name: order.append(name) or 0.0 for name in "ab"}, rounds=2, calls=1)
    assert order == list("aabbaabb") and all(0 <= seconds < 1 for seconds in found.values())


def test_the_sparse_maximum_is_the_dense_one_and_whitening_helps(results):
    dense, sparse = (results["newton"][way][8] for way in ("dense", "sparse"))
    assert dense["log_likelihood"] == pytest.approx(sparse["log_likelihood"], abs=1e-6)
    assert dense["condition"] > 10 * dense["whitened_condition"] > 10


def test_its_table_figure_and_words(results, tmp_path):
    rows = [line for line in bench_table(results).splitlines() if line.startswith("$")]
    assert len(rows) == 6 and all(row.count("&") == 7 for row in rows)
    draw_bench(results, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"bench-newton.pdf", "bench-newton.png"}
    words = "\n".join(terminal_lines(results))
    assert "12.0 times as fast as dense, eager; 1.25 × the random numbers" in words
    assert "+1.0, +0.0, +0.0 standard errors off; c − log Z = +0.50 ± 0.25 nats" in words
    assert "28²: 10.0, 1024²: 20.0" in words
