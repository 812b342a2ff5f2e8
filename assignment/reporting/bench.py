"""The bench's table, figure and words, from its JSON."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assignment.reporting.drawing.style import new_figure, save, style
from assignment.reporting.latex import across, escape, row, tabular
from assignment.reporting.numbers import rough

_SHOWN = (8, 28, 64, 100, 128, 256, 1024)


def bench_table(results: dict[str, Any]) -> str:
    """A `tabular`: milliseconds of each operation and peak memory by size and way, and one NCE step."""
    operations = list(next(iter(results["sizes"]["dense"].values()))["seconds"])
    lines = [row(["pixels", r"$\Lambda$", *map(escape, operations), "MB"]), r"\midrule"]
    for side in _SHOWN:
        for way, cases in results["sizes"].items():
            if case := cases.get(side):
                milliseconds = [rough(1e3 * case["seconds"][operation]) for operation in operations]
                lines.append(row([f"${side}^2$", way.replace("_", " "), *milliseconds, f"{case['bytes'] / 1e6:.0f}"]))
    steps = "; ".join(f"{what} {rough(1e3 * seconds)}" for what, seconds in results["steps"].items())
    notes = (
        f"Milliseconds for one image; MB: growth of the process. {results['machine']}.",
        f"One NCE step, 512 + 512 images of $28^2$ pixels, in ms: {steps.replace('_', ' ')}.",
    )
    lines.append(r"\bottomrule")
    lines += [across(len(operations) + 3, rf"\parbox{{0.8\linewidth}}{{\footnotesize {note}}}") for note in notes]
    return tabular("ll" + "r" * (len(operations) + 1), lines)


@style()
def draw_bench(results: dict[str, Any], folder: str | Path) -> None:
    """Draws bench-newton: the condition number of F, and seconds of maximum likelihood by both ways, by weights."""
    ways, figure = results["newton"], new_figure(2.2)
    left, right = figure.subplots(1, 2)
    for key, words in (("condition", "$F$"), ("whitened_condition", r"$WFW^\mathsf{T}$, $W$ sparse")):
        cases = ways["dense"].values()
        left.loglog([case["weights"] for case in cases], [case[key] for case in cases], label=words)
    for way, words in (("dense", "$F$ as a matrix"), ("sparse", "products with $F$, whitened")):
        cases = ways[way].values()
        right.loglog([case["weights"] for case in cases], [case["seconds"] for case in cases], label=words)
    right.set(xlabel="weights P, per edge", ylabel="maximum likelihood (s)")
    right.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter("")
    left.set(xlabel="weights P, per edge", ylabel="condition number", xlim=right.get_xlim())
    left.legend()
    right.legend()
    save(figure, Path(folder) / "bench-newton")


def terminal_lines(results: dict[str, Any]) -> Iterator[str]:
    """What the bench says at its end."""
    steps, fit = results["steps"], results["fit"]
    eager, numbers = steps["dense, eager"], steps["random numbers alone"]
    yield f"One NCE step, 512 + 512 images of 28 × 28, {results['machine']}:"
    for what, seconds in steps.items():
        times = f"{eager / seconds:5.1f} times as fast as dense, eager; {seconds / numbers:.2f} × the random numbers"
        yield f"  {1e3 * seconds:8.2f} ms  {what:26s} {times}"
    yield "log det and one sample (ms), growth of the process (MB):"
    for way, cases in results["sizes"].items():
        for side, case in cases.items():
            times = "".join(f"{rough(1e3 * case['seconds'][operation]):>9s} " for operation in ("log det", "sample"))
            yield f"  {side:>5} × {side:<5} {way:18s} {times}{case['bytes'] / 1e6:8.0f}"
    for weights, sides in results["pixel_steps"].items():
        each = ", ".join(f"{side}²: {1e9 * seconds:.1f}" for side, seconds in sides.items())
        yield f"A telescoped step, {weights.replace('_', ' ')} weights, nanoseconds per pixel of data: {each}"
    for way, sides in results["newton"].items():
        each = ", ".join(f"{side}² (P = {case['weights']:,}): {case['seconds']:.2f}" for side, case in sides.items())
        yield f"Maximum likelihood per edge, F {way}, seconds: {each}"
    for side, case in results["newton"]["dense"].items():
        whitened = f"{case['whitened_condition']:.3g} whitened"
        yield f"Condition number of F, {side}², per edge: {case['condition']:.3g}, {whitened}"
    off = [(w - t) / e for w, t, e in zip(fit["weights"], fit["truth"], fit["standard_errors"], strict=True)]
    yield (
        f"Telescoped fit of {fit['images']} images of {fit['side']} × {fit['side']} in {fit['seconds']:.0f} s: weights "
        f"{', '.join(f'{z:+.1f}' for z in off)} standard errors off; c − log Z = "
        f"{fit['log_partition'] - fit['exact']:+.2f} ± {fit['standard_error']:.2f} nats, log Z being {fit['exact']:.0f}"
    )
