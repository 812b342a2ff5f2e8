"""The one error that is the user's to mend, and the hint that mends a mistyped name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input or a broken surrounding: one line that says what is wrong and how to mend it.

    The command line prints it without a traceback and exits with status 2.
    """


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """ "; did you mean 'adam'?" with the known name nearest to `word`; "" where none is near."""
    names = [name for name in known if isinstance(name, str)]
    nearest = difflib.get_close_matches(word.lower(), names, n=1) if isinstance(word, str) else []
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
