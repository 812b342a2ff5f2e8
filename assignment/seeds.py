"""One seed decides a run. Every draw within it has a pair of its own, named by what is drawn and its number."""

PURPOSES = ("step", "tune", "pilot", "bridge", "straight bridge", "samples", "compared images", "evidence")
MOST = 2**31 // len(PURPOSES)


def seed_pair(seed: int, purpose: str, number: int = 0) -> tuple[int, int]:
    """The seed of one draw for TensorFlow's stateless random numbers; no two purposes and numbers share one.

    Args:
      seed: of the run; purpose: one of PURPOSES; number: which of its draws, below MOST.
    """
    if not 0 <= number < MOST:
        raise ValueError(f"number must be from 0 to {MOST - 1}, not {number}")
    return seed, PURPOSES.index(purpose) * MOST + number
