"""Grading by pytest: options, the submission as a fixture, points for items, the rubric and results.json.

    pytest tests/grading --submission FOLDER --results-json FILE

An item is a test with the marker `item(part, points, title)`. It earns all points by passing, and by raising `Lost`
the share that it names; any other exception is the grader's own fault, and says so.
"""

from pathlib import Path

import numpy as np
import pytest

from grading.grader.rubric import Item, Lost, Rubric
from grading.grader.submission import Submission
from grading.grader.trainings import Trainings

GRADING = Path(__file__).resolve().parent
THIS_PACKAGE = GRADING.parents[1]
_UNPROTECTED = (
    "NOTE: this machine can neither confine a submission (no Landlock) nor run it as another user (not root): it "
    "could read the tests and write your files. Grade folders you do not trust in a container, as root."
)


def pytest_addoption(parser):
    group = parser.getgroup("grading")
    group.addoption("--submission", default=None, help="folder to grade (default: this package)")
    group.addoption("--results-json", default=None, help="where to write Gradescope's results.json")


def pytest_configure(config):
    config.addinivalue_line("markers", "item(part, points, title): a graded item")
    folder = Path(config.getoption("submission", None) or THIS_PACKAGE)
    if not folder.is_dir():
        raise pytest.UsageError(f"--submission: there is no folder {folder}")
    results = config.getoption("results_json", None)
    if results and not Path(results).resolve().parent.is_dir():
        raise pytest.UsageError(f"--results-json: there is no folder {Path(results).resolve().parent}")
    config.stash[_grading] = Grading(folder, Path(results).resolve() if results else None)
    if all(GRADING in [path, *path.parents] for path in map(_path_of, config.args)):
        config.option.tbstyle, config.option.reportchars = "no", "E"  # the rubric says it all
        config.option.verbose = min(config.option.verbose, -1)


def _path_of(argument):
    return Path(argument.split("::")[0]).resolve()


class Grading:
    """The state of one run: the submission, the rubric, and where results go."""

    def __init__(self, folder, results):
        self.submission = Submission(folder)
        self.rubric = Rubric(folder.resolve().name)
        self.results = results
        self.by_id = {}

    def add(self, test, marker):
        item = Item(test.name, *_arguments(*marker.args))
        self.rubric.items.append(item)
        self.by_id[test.nodeid] = item

    def save(self):
        if self.results:
            self.rubric.write(self.results)


def _arguments(part, points, title):
    return part, title, points


_grading = pytest.StashKey[Grading]()


@pytest.hookimpl(trylast=True)  # after -k and -m have chosen
def pytest_collection_modifyitems(config, items):
    grading = config.stash[_grading]
    for test in items:
        marker = test.get_closest_marker("item")
        if marker:
            grading.add(test, marker)
    if grading.by_id:
        grading.save()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    if item.get_closest_marker("item"):
        with np.errstate(all="ignore"):  # a submission's absurd numbers are its own affair
            return (yield)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    grading = item.config.stash[_grading]
    graded = grading.by_id.get(item.nodeid)
    if graded is None or (call.when != "call" and call.excinfo is None):
        return report
    error = call.excinfo.value if call.excinfo else None
    graded.graded, graded.seconds = True, call.duration
    if error is None:
        graded.share, graded.sentence = 1.0, ""
    elif isinstance(error, Lost):
        graded.share, graded.sentence = error.share, str(error)
    else:
        graded.share, graded.sentence = 0.0, f"The grader itself failed here; tell its maintainer: {error!r:.300}"
    if error is not None:
        report.longrepr = graded.sentence
    grading.save()
    return report


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    grading = item.config.stash[_grading]
    if item.nodeid in grading.by_id and (nextitem is None or nextitem.nodeid not in grading.by_id):
        grading.submission.close()


def pytest_terminal_summary(terminalreporter, config):
    grading = config.stash[_grading]
    if grading.by_id and not config.option.collectonly:
        terminalreporter.section("rubric")
        for line in grading.rubric.lines():
            terminalreporter.write_line(line)


def pytest_sessionfinish(session):
    grading = session.config.stash[_grading]
    if grading.by_id:
        grading.submission.close()  # where the run was interrupted
        grading.rubric.printed = grading.submission.output
        if grading.submission.held_by == "none":
            grading.rubric.notes.append(_UNPROTECTED)
        grading.save()


@pytest.fixture(scope="session")
def submission(pytestconfig):
    """The submission that is graded: `submission.call(name, **arguments)`."""
    return pytestconfig.stash[_grading].submission


@pytest.fixture(scope="session")
def trainings(submission):
    """The fits of the submission: `trainings(estimator, problem)`."""
    return Trainings(submission)
