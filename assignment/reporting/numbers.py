"""How numbers are printed: as many figures as mean something."""

NONE = "–"


def nats(value):
    """Log-probabilities: two places."""
    return NONE if value is None else f"{value:.2f}"


def gap(value):
    """Differences of log-probabilities: three places where they are small."""
    return NONE if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def small(value):
    """A number of any size: two to three figures."""
    return NONE if value is None else f"{value:.3g}"
