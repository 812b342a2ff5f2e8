"""The short table that a part ends with on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from assignment.reporting import labels, numbers
from assignment.reporting.gains import remarks
from assignment.results import Fit

_HEADS = (
    ("", "", "log Z", "log Z", "log Z", "test", "ceiling", "test", "", "", ""),
    ("estimator", "Λ's weights", "learned", "exact", "gap", "nats", "(ML)", "gap", "left", "λ_min", "seconds"),
)


def terminal_table(fits: Iterable[Fit]) -> str:
    """The results of fits as lines of text, about 115 columns wide for the usual names.

    All in nats. `learned` is the learned c with its standard error; the gap beside it is c − log Z of the fitted Λ.
    The test columns are nats per test image with the exact log Z, the same for the maximum likelihood, and how far the
    fit stays below that. `left`: how far the fit is from the optimum that it pursues, per training image.
    """
    ordered = labels.in_order(fits)
    if not ordered:
        return "No results yet."
    rows = [*_HEADS, *map(_row, ordered)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(len(_HEADS), "-" * max(map(len, lines)))
    return "\n".join(lines + _remarks(ordered))


def _row(fit):
    record = fit.record
    log_partition, held_out = record["log_partition"], record["held_out"]
    learned, error = log_partition["estimate"], log_partition.get("standard_error")
    return (
        labels.short_label(fit),
        labels.short_family_label(labels.family(fit)),
        numbers.nats(learned) + (f" ± {numbers.nats(error)}" if error is not None else ""),
        numbers.nats(log_partition["exact"]),
        numbers.gap(log_partition["gap"]),
        numbers.nats(held_out["log_likelihood"]),
        numbers.nats(held_out["maximum_likelihood"]),
        numbers.gap(held_out["gap"]),
        numbers.gap(record.get("suboptimality")),
        numbers.small(record["min_eigenvalue"]),
        f"{record['seconds']:.1f}",
    )


def _line(row, widths):
    words = [row[k].ljust(widths[k]) for k in range(2)] + [row[k].rjust(widths[k]) for k in range(2, len(row))]
    return "  ".join(words).rstrip()


def _remarks(fits):
    names = {fit: f"{labels.short_label(fit)} ({labels.short_family_label(labels.family(fit))})" for fit in fits}
    lines = [f"{name}: {labels.ending(fit)}" for fit, name in names.items() if labels.ending(fit)] + remarks(fits)
    return ["", *lines] if lines else []
