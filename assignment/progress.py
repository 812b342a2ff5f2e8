"""What long work says meanwhile: a bar on a terminal and in a notebook, a plain line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

from tqdm import tqdm

QUIET_SECONDS = 5
BAR = "{desc}: {n_fmt}%s [{elapsed}]{postfix}"  # fits into 80 columns


def say(words: str, stream: TextIO | None = None) -> None:
    """Prints a line, to stderr by default. That nobody reads it any more is no reason to stop."""
    stream = stream or sys.stderr
    try:
        print(words, file=stream, flush=True)
    except BrokenPipeError:
        # Whatever is printed later goes nowhere, and the end of Python does not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Progress:
    """Called as progress(step, steps or None, words) after every step; `with` closes the bar."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stream = sys.stderr
        self.draws = self.stream.isatty() or "ipykernel" in sys.modules
        self.bar = None
        self.last_line = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
            self.stream.flush()  # Else a notebook shows the end of the bar's line below what is printed next.

    def __call__(self, step: int, steps: int | None, words: str) -> None:
        if self.draws:
            self._draw(step, steps, words)
        elif time.monotonic() - self.last_line > QUIET_SECONDS or step == steps:
            self.last_line = time.monotonic()
            say(f"{self.name}: step {step}{f' of {steps}' if steps else ''}  {words}", self.stream)

    def _draw(self, step, steps, words):
        if self.bar is None:
            form = BAR % (" of {total_fmt}" if steps else "")
            self.bar = tqdm(total=steps, desc=self.name, file=self.stream, mininterval=0.2, bar_format=form)
        self.bar.set_postfix_str(words, refresh=False)
        self.bar.update(step - self.bar.n)
