"""What long work says meanwhile: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time

from tqdm import tqdm

QUIET_SECONDS = 5


class Progress:
    """Called as progress(step, steps or None, words) after every step; `with` closes the bar."""

    def __init__(self, name, stream=None):
        self.name = name
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.bar = None
        self.last_line = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()

    def __call__(self, step, steps, words):
        if self.terminal:
            self._draw(step, steps, words)
        elif time.monotonic() - self.last_line > QUIET_SECONDS or step == steps:
            self.last_line = time.monotonic()
            print(f"{self.name}: step {step}{f' of {steps}' if steps else ''}  {words}", file=self.stream, flush=True)

    def _draw(self, step, steps, words):
        if self.bar is None:
            self.bar = tqdm(total=steps, desc=self.name, file=self.stream, leave=True, mininterval=0.2)
        self.bar.set_postfix_str(words, refresh=False)
        self.bar.update(step - self.bar.n)
