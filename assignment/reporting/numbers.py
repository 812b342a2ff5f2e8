"""How numbers are printed: as many figures as mean something, and never −0.000."""

NONE = "–"


def nats(value: float | None) -> str:
    """Log-probabilities: two places."""
    return NONE if value is None else f"{value:z.2f}"


def gap(value: float | None) -> str:
    """Differences of log-probabilities: three places where they are small."""
    return NONE if value is None else f"{value:z.3f}" if abs(value) < 10 else f"{value:.1f}"


def size(value: float) -> str:
    """The size of a difference, without its sign."""
    return gap(abs(value))


def small(value: float | None) -> str:
    """A number of any size: two to three figures."""
    return NONE if value is None else f"{value:z.3g}"


def rough(value: float) -> str:
    """Two figures, one for what is tiny, and all those before the point."""
    if abs(value) >= 9.95:
        return f"{value:.0f}"
    return f"{value:#.2g}" if abs(value) > 1e-3 or value == 0 else f"{value:.0e}"


def count(value: float) -> str:
    """A whole number, with a thin space between the thousands of large ones."""
    return f"{value:z.0f}" if abs(value) < 1e4 else f"{value:,.0f}".replace(",", "\u2009")


def percent(value: float) -> str:
    """A share in hundredths."""
    return f"{100 * value:z.2g}"


def below(value: float) -> str:
    """How far something is below a bound, in words; above it where the difference is negative."""
    side = "from" if size(value) == "0.000" else "below" if value > 0 else "above"
    return f"{size(value)} nats {side}"


def signed(value: float) -> str:
    """A difference with its sign, for figures and plain text."""
    return (f"{value:+z.3f}" if abs(value) < 10 else f"{value:+.0f}").replace("-", "−")


def uncertain(value: float, error: float) -> str:
    """ "+1.23 ± 0.04", for figures and plain text."""
    return f"{value:+z.2f} ± {error:.2f}".replace("-", "−")
