"""The short table that a part ends with on the terminal."""

from collections.abc import Iterable

from assignment.reporting.labels import ending, in_order, short_family_label, short_label
from assignment.reporting.numbers import gap, nats, small
from assignment.reporting.selection import remarks
from assignment.results import Fit

_HEADS = (
    ("", "", "log Z", "log Z", "log Z", "test", "ceiling", "test", "", "", ""),
    ("estimator", "Λ's weights", "learned", "exact", "gap", "nats", "(ML)", "gap", "left", "λ_min", "seconds"),
)


def terminal_table(fits: Iterable[Fit]) -> str:
    """The results of fits as lines of text, about 115 columns wide for the usual names.

    All in nats. `learned` is the learned c with its standard error; the gap beside it is c − log Z of the fitted Λ.
    The test columns are nats per test image with the exact log Z, the same for the maximum likelihood, and how far the
    fit stays below that. `left`: how far the fit is from its optimum, see `FitResult.suboptimality`.
    """
    ordered = in_order(fits)
    if not ordered:
        return "No results yet."
    rows = [*_HEADS, *map(_row, ordered)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    lines.insert(len(_HEADS), "-" * max(map(len, lines)))
    said = [f"{short_label(fit)} ({short_family_label(fit)}): {ending(fit)}" for fit in ordered if ending(fit)]
    said += remarks(ordered)
    return "\n".join([*lines, "", *said] if said else lines)


def _row(fit):
    record = fit.record
    log_partition, held_out = record["log_partition"], record["held_out"]
    learned, error = log_partition["estimate"], log_partition.get("standard_error")
    return (
        short_label(fit),
        short_family_label(fit),
        nats(learned) + (f" ± {nats(error)}" if error is not None else ""),
        nats(log_partition["exact"]),
        gap(log_partition["gap"]),
        nats(held_out["log_likelihood"]),
        nats(held_out["maximum_likelihood"]),
        gap(held_out["gap"]),
        gap(record.get("suboptimality")),
        small(record["min_eigenvalue"]),
        f"{record['seconds']:.1f}",
    )


def _line(row, widths):
    words = [row[k].ljust(widths[k]) if k < 2 else row[k].rjust(widths[k]) for k in range(len(row))]
    return "  ".join(words).rstrip()
