"""Points: what an item is, what was earned, and how it is told to people and to Gradescope."""

import dataclasses
import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from grading.grader import sandbox

PARTS = {  # and the points to be had
    "data": 12,
    "model": 18,
    "NCE": 28,
    "log Z": 14,
    "second estimator": 14,
    "samples": 8,
    "report": 6,
    "bonus 8": 10,
}
BONUS = "bonus 8"
ITEMS = []  # of all parts, in order
VISIBILITIES = ("visible", "hidden", "after_due_date", "after_published")  # Gradescope's words
_PRINTED = 6000  # characters


class Lost(Exception):  # points are lost, no error is raised
    """Points are lost: one sentence that a student can act on, and the share of them that is earned all the same."""

    def __init__(self, sentence, share=0.0):
        super().__init__(sentence)
        self.share = min(max(float(share), 0.0), 1.0)


@dataclass
class Item:
    """One graded item: `function(submission)` returns for all of its points, and else raises `Lost`."""

    function: callable
    part: str
    points: float
    title: str
    share: float = 0.0  # of the points, earned
    sentence: str = "Not graded yet."
    graded: bool = False

    @property
    def name(self):
        return self.function.__name__

    @property
    def earned(self):
        return round(self.share * self.points, 2)

    def judge(self, submission):
        """Grades it. Any exception but `Lost` is the grader's own fault, and is called so."""
        submission.begin(self.title)
        try:
            with np.errstate(all="ignore"):  # a submission's absurd numbers are its own affair
                self.function(submission)
            self.share, self.sentence = 1.0, " ".join(submission.remarks)
        except Lost as lost:
            self.share, self.sentence = lost.share, str(lost)
        except Exception as error:  # the other items are graded all the same
            self.sentence = f"The grader itself failed here; tell its maintainer: {error!r:.300}"
        self.graded = True


def item(part, points, title):
    """Makes a function a graded item."""

    def mark(function):
        ITEMS.append(Item(function, part, points, title))
        return function

    return mark


def new_items(chosen=""):
    """All items, or those with `chosen` in their part or name, none graded yet."""
    return [dataclasses.replace(i) for i in ITEMS if chosen in i.part or chosen in i.name]


@dataclass
class Rubric:
    """All items of one grading, in order, and results.json, which is written after each of them.

    `visibility` is Gradescope's word for when students see an item.
    """

    name: str
    submission: object
    visibility: str
    items: list
    results: Path | None
    started: float = field(default_factory=time.monotonic)

    def judge(self, item):
        item.judge(self.submission)
        self.save()

    def end(self):
        self.submission.close()
        self.save(0o644)

    @property
    def notes(self):
        return [note for note in (*self.submission.notes, sandbox.note(sandbox.kind())) if note]

    def total(self, part=None):
        """(points earned, points to be had) in one part; over all parts but the bonus, when part is None."""
        chosen = [i for i in self.items if (i.part == part if part else i.part != BONUS)]
        return round(sum(i.earned for i in chosen), 2), sum(i.points for i in chosen)

    @property
    def status(self):
        """Whether every item there is was judged, all that were chosen, or not even these."""
        if not all(i.graded for i in self.items):
            return "grader failed"
        return "graded" if len(self.items) == len(ITEMS) else "partial"

    def lines(self):
        """The rubric as text: part by part, and a sentence for every point lost."""
        yield f"submission: {self.name}"
        yield f"seed: {self.submission.seed} (the same draws again: --seed {self.submission.seed})"
        for part in PARTS:
            items = [i for i in self.items if i.part == part]
            if items:
                yield _line(part, *self.total(part)) + ("  (extra)" if part == BONUS else "")
            for item in items:
                yield _line("  " + item.title, item.earned, item.points)
                if item.sentence:
                    yield f"      {item.sentence}"
        yield _line("TOTAL", *self.total())
        bonus, most = self.total(BONUS)
        if most:
            yield _line("bonus", bonus, most)
        yield from self.notes

    def gradescope(self):
        """What Gradescope's results.json holds (gradescope-autograders.readthedocs.io, "Output Format")."""
        seed, printed = self.submission.seed, self.submission.output
        output = ["Graded in full." if self.status == "graded" else "Not all items were graded."]
        output += [f"seed: {seed}", *(note for note in self.notes if "teacher" not in note)]
        if printed:
            output += ["What the submission printed (in part, if it was much):", printed[:_PRINTED]]
        return {
            "score": round(sum(i.earned for i in self.items), 2),
            "execution_time": round(time.monotonic() - self.started, 1),
            "output": "\n".join(output),
            "visibility": "visible",
            "extra_data": {"status": self.status, "seed": seed, "notes": self.notes},
            "stdout_visibility": "hidden",
            "tests": [
                {
                    "name": f"{item.part}: {item.title}",
                    "number": str(number),
                    "score": item.earned,
                    "max_score": 0 if item.part == BONUS else item.points,
                    "status": "passed" if item.share == 1 else "failed",
                    "output": item.sentence or "Right.",
                    "visibility": self.visibility,
                }
                for number, item in enumerate(self.items, 1)
            ],
        }

    def save(self, mode=0o600):
        """Writes results.json whole: a reader finds the last one or this one, never a part.

        Until the grading has ended no submission may read it: the seed is there.
        """
        if self.results:
            handle, name = tempfile.mkstemp(dir=self.results.parent, prefix=f".{self.results.name}-")
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                json.dump(self.gradescope(), file, indent=1, ensure_ascii=False)
            os.chmod(name, mode)
            os.replace(name, self.results)


def _line(name, earned, points):
    return f"{name:<70} {earned:>6g} / {points:g}"
