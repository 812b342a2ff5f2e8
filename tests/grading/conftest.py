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
_rubric = pytest.StashKey[Rubric | None]()


def pytest_addoption(parser):
    group = parser.getgroup("grading")
    group.addoption("--submission", type=Path, help="folder to grade (default: this package)")
    group.addoption("--name", help="what the rubric calls it (default: the folder's name)")
    group.addoption("--results-json", type=Path, help="where to write Gradescope's results.json")
    group.addoption("--seed", type=int, help="of all that is drawn (default: a fresh one)")
    group.addoption("--visibility", choices=VISIBILITIES, default="visible", help="of the items, on Gradescope")
    group.addoption("--no-sandbox", action="store_true", help="grade where nothing can hold a submission")


def pytest_configure(config):
    config.stash[_rubric] = None
    paths = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    if all(GRADING in [path, *path.parents] for path in paths):
        config.option.tbstyle, config.option.reportchars = "no", "E"  # The rubric says it all.
        config.option.verbose = min(config.option.verbose, -1)


@pytest.hookimpl(trylast=True)  # after -k has chosen
def pytest_collection_modifyitems(config, items):
    chosen = [test.callspec.params["item"] for test in items if GRADING in test.path.parents]
    if chosen and not config.option.collectonly:
        config.stash[_rubric] = started(config.getoption, chosen)


def started(asked, items):
    """The rubric of the submission that was named, or of this package, with no item graded yet."""
    # Where pytest comes here from another folder, there are no options of ours.
    submission, results = asked("submission", None), asked("results_json", None)
    folder = submission or THIS_PACKAGE
    if not folder.is_dir():
        raise pytest.UsageError(f"--submission: there is no folder {shown(folder)}")
    results = results and results.resolve()
    if results and not results.parent.is_dir():
        raise pytest.UsageError(f"--results-json: there is no folder {results.parent}")
    if submission and sandbox.kind() == "none" and not asked("no_sandbox", False):
        raise pytest.UsageError(sandbox.NOTHING_HOLDS)
    name = asked("name", None) or shown(folder.resolve().name)
    submission = Submission(archives.home(folder) or folder, seed=asked("seed", None))
    rubric = Rubric(name, submission, asked("visibility", "visible"), items, results)
    rubric.save()
    return rubric


@pytest.fixture(scope="session")
def rubric(pytestconfig):
    return pytestconfig.stash[_rubric]


def pytest_sessionfinish(session):
    if session.config.stash[_rubric]:  # Also where the run was interrupted.
        session.config.stash[_rubric].end()


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[_rubric]:
        terminalreporter.section("rubric")
        for line in config.stash[_rubric].lines():
            terminalreporter.write_line(line)
