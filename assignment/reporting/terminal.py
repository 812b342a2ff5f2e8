"""The short table that a part ends with on the terminal."""

from assignment.reporting.gains import best_gains
from assignment.reporting.labels import (
    by_family,
    coin_line,
    data_line,
    family,
    short_family_label,
    short_label,
    trouble,
)
from assignment.reporting.numbers import gap, nats, small

_HEADS = (
    ("", "", "log Z", "log Z", "log Z", "test", "ceiling", "test", "", ""),
    ("estimator", "Λ's weights", "learned", "exact", "gap", "nats", "(ML)", "gap", "λ_min", "seconds"),
)


def terminal_table(fits):
    """The results of fits as lines of text, about 110 columns wide for the usual names.

    All in nats. `learned` is NCE's own c with its standard error; the gap beside it is c − log Z of the fitted Λ.
    The test columns are nats per test image with the exact log Z, the same for the maximum likelihood, and how far the
    fit stays below that.
    """
    ordered = [fit for group in by_family(fits).values() for fit in group]
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
        short_label(fit),
        short_family_label(family(fit)),
        nats(learned) + (f" ± {nats(error)}" if error is not None else ""),
        nats(log_partition["exact"]),
        gap(log_partition["gap"]),
        nats(held_out["log_likelihood"]),
        nats(held_out["maximum_likelihood"]),
        gap(held_out["gap"]),
        small(record["min_eigenvalue"]),
        f"{record['seconds']:.1f}",
    )


def _line(row, widths):
    words = [row[k].ljust(widths[k]) for k in range(2)] + [row[k].rjust(widths[k]) for k in range(2, len(row))]
    return "  ".join(words).rstrip()


def _remarks(fits):
    lines = [f"{short_label(fit)} ({short_family_label(family(fit))}): {trouble(fit)}" for fit in fits if trouble(fit)]
    lines += [*map(str, best_gains(fits)), *filter(None, [coin_line(fits), data_line(fits)])]
    return ["", *lines] if lines else []
