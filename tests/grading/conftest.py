"""Grading by pytest: options, the submission as a fixture, points for items, the rubric and results.json.

    pytest tests/grading --submission FOLDER --results-json FILE

An item is a test with the decorator `item(part, points, title)`. It earns all points by passing, and by raising `Lost`
the share that it names; any other exception is the grader's own fault, and says so.
"""

from pathlib import Path

import numpy as np
import pytest

from grading.grader import archives, sandbox
from grading.grader.names import shown
from grading.grader.rubric import Item, Lost, Rubric
from grading.grader.submission import Submission

GRADING = Path(__file__).resolve().parent
THIS_PACKAGE = GRADING.parents[1]
_VISIBLE = ("visible", "hidden", "after_due_date", "after_published")


def pytest_addoption(parser):
    group = parser.getgroup("grading")
    group.addoption("--submission", default=None, help="folder to grade (default: this package)")
    group.addoption("--results-json", default=None, help="where to write Gradescope's results.json")
    group.addoption("--name", default=None, help="what the rubric calls it (default: the folder's name)")
    group.addoption("--seed", type=int, default=None, help="of all that is drawn (default: a fresh one)")
    group.addoption("--visibility", choices=_VISIBLE, default="visible", help="of the items, on Gradescope")
    group.addoption("--no-sandbox", action="store_true", help="grade where nothing can hold a submission")


def pytest_configure(config):
    folder = Path(config.getoption("submission", None) or THIS_PACKAGE)
    if not folder.is_dir():
        raise pytest.UsageError(f"--submission: there is no folder {shown(folder)}")
    results = config.getoption("results_json", None)
    if results and not Path(results).resolve().parent.is_dir():
        raise pytest.UsageError(f"--results-json: there is no folder {Path(results).resolve().parent}")
    config.stash[_grading] = Grading(folder, Path(results).resolve() if results else None, config)
    if all(GRADING in [path, *path.parents] for path in map(_path_of, config.args)):
        config.option.tbstyle, config.option.reportchars = "no", "E"  # the rubric says it all
        config.option.verbose = min(config.option.verbose, -1)


def _path_of(argument):
    return Path(argument.split("::")[0]).resolve()


class Grading:
    """The state of one run: the submission, the rubric, and where results go."""

    def __init__(self, folder, results, config):
        self.submission = Submission(archives.home(folder) or folder, seed=config.getoption("seed", None))
        visibility = config.getoption("visibility", "visible")
        name = config.getoption("name", None) or shown(folder.resolve().name)
        self.rubric = Rubric(name, self.submission.seed, visibility)
        self.results = results
        self.by_id = {}

    def add(self, test):
        part, points, title = test.function.graded_as
        item = self.by_id[test.nodeid] = Item(test.name, part, title, points)
        self.rubric.items.append(item)

    def save(self):
        if self.results:
            self.rubric.write(self.results)


_grading = pytest.StashKey[Grading]()


@pytest.hookimpl(trylast=True)  # after -k and -m have chosen
def pytest_collection_modifyitems(config, items):
    grading = config.stash[_grading]
    for test in items:
        if hasattr(getattr(test, "function", None), "graded_as"):
            grading.add(test)
    if grading.by_id:
        strange = config.getoption("submission", None) is not None
        if strange and sandbox.kind() == "none" and not config.getoption("no_sandbox", False):
            raise pytest.UsageError(
                "nothing can hold a submission here: install bubblewrap (apt-get install bubblewrap), grade as root, "
                "or give --no-sandbox for a folder that you trust"
            )
        grading.save()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    grading = item.config.stash[_grading]
    if item.nodeid in grading.by_id:
        grading.submission.begin(grading.by_id[item.nodeid].title)
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
        graded.share, graded.sentence = 1.0, " ".join(grading.submission.remarks)
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
        notes = [*grading.submission.notes, sandbox.note(sandbox.kind())]
        grading.rubric.notes = [note for note in notes if note]
        grading.save()


@pytest.fixture(scope="session")
def submission(pytestconfig):
    """The submission that is graded: `submission.call(name, **arguments)`."""
    return pytestconfig.stash[_grading].submission
