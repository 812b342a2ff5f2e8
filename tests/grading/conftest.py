"""Grading by pytest, which judges every item and prints the rubric.

pytest tests/grading --submission FOLDER --results-json FILE
"""

from pathlib import Path

import pytest

from grading.grader import archives, sandbox
from grading.grader.names import shown
from grading.grader.rubric import VISIBILITIES, Rubric
from grading.grader.submission import Submission

GRADING = Path(__file__).resolve().parent
THIS_PACKAGE = GRADING.parents[1]


def pytest_addoption(parser):
    group = parser.getgroup("grading")
    group.addoption("--submission", type=Path, help="folder to grade (default: this package)")
    group.addoption("--name", help="what the rubric calls it (default: the folder's name)")
    group.addoption("--results-json", type=Path, help="where to write Gradescope's results.json")
    group.addoption("--seed", type=int, help="of all that is drawn (default: a fresh one)")
    group.addoption("--visibility", choices=VISIBILITIES, default="visible", help="of the items, on Gradescope")
    group.addoption("--no-sandbox", action="store_true", help="grade where nothing can hold a submission")


def pytest_configure(config):
    config.stash[_grading] = None
    paths = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    if all(GRADING in [path, *path.parents] for path in paths):
        config.option.tbstyle, config.option.reportchars = "no", "E"  # The rubric says it all.
        config.option.verbose = min(config.option.verbose, -1)


@pytest.hookimpl(trylast=True)  # after -k has chosen
def pytest_collection_modifyitems(config, items):
    chosen = [test.callspec.params["item"] for test in items if GRADING in test.path.parents]
    if chosen and not config.option.collectonly:
        config.stash[_grading] = Grading(config.getoption, chosen)


class Grading:
    """One submission and its rubric, which is written after every item."""

    def __init__(self, asked, items):
        # Where pytest comes here from another folder, there are no options of ours.
        submission, results = asked("submission", None), asked("results_json", None)
        folder = submission or THIS_PACKAGE
        if not folder.is_dir():
            raise pytest.UsageError(f"--submission: there is no folder {shown(folder)}")
        self.results = results and results.resolve()
        if self.results and not self.results.parent.is_dir():
            raise pytest.UsageError(f"--results-json: there is no folder {self.results.parent}")
        if submission and sandbox.kind() == "none" and not asked("no_sandbox", False):
            raise pytest.UsageError(sandbox.NOTHING_HOLDS)
        self.submission = Submission(archives.home(folder) or folder, seed=asked("seed", None))
        name = asked("name", None) or shown(folder.resolve().name)
        self.rubric = Rubric(name, self.submission.seed, asked("visibility", "visible"), items)
        self.save()

    def judge(self, item):
        item.judge(self.submission)
        self.save()

    def end(self):
        self.submission.close()
        self.rubric.printed = self.submission.output
        self.rubric.notes = [note for note in (*self.submission.notes, sandbox.note(sandbox.kind())) if note]
        self.save(0o644)

    def save(self, mode=0o600):
        if self.results:
            self.rubric.write(self.results, mode)


_grading = pytest.StashKey[Grading | None]()


@pytest.fixture(scope="session")
def grading(pytestconfig):
    return pytestconfig.stash[_grading]


def pytest_sessionfinish(session):
    if session.config.stash[_grading]:  # Also where the run was interrupted.
        session.config.stash[_grading].end()


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[_grading]:
        terminalreporter.section("rubric")
        for line in config.stash[_grading].rubric.lines():
            terminalreporter.write_line(line)
