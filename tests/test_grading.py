"""The grader itself: right solutions get all points, each error loses its own, and hostility harms nobody else."""

import ast
import csv
import hashlib
import io
import itertools
import json
import os
import pickle
import shlex
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from grading import grade_all as class_table
from grading.grader import archives, names, problems, reference, sandbox, trainings, wire
from grading.grader.judge import as_array, closeness
from grading.grader.rubric import BONUS, ITEMS, PARTS, Lost, new_items
from grading.grader.submission import Submission
from grading.grader.supervisor import Failure, Limits
from grading.items.part1_data import raw_images
from grading.items.part8_report import TOPICS, _of_notebook, words
from grading.kit import make as kit
from scipy import sparse

GRADING = Path(__file__).parent / "grading"
DENSE = GRADING / "dense_solution"
sys.path.insert(0, str(DENSE))
import adapters as solution  # noqa: E402 - of DENSE
from grading import wrong  # noqa: E402 - it stands on `solution`

GRADE = [sys.executable, "-m", "pytest", GRADING, "-p", "no:cacheprovider"]
QUIET = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OPENBLAS_NUM_THREADS": "1"}
SEED = 7
FITS, LEARNED, REPORT = set(wrong.FITS.split()), set(wrong.LEARNED.split()), {"length", "topics"}
ALL_POINTS = sum(PARTS.values())
needs_bwrap = pytest.mark.skipif(sandbox.kind() != "bwrap", reason="needs bubblewrap")


def run(*command, **environment):
    """The finished process, with what it printed."""
    options = {"capture_output": True, "text": True, "errors": "replace", "timeout": 300}
    return subprocess.run([*map(str, command)], env=QUIET | environment, **options)


def judged(submission, chosen=""):
    """{item: (share, sentence)}."""
    items = new_items(chosen)
    for item in items:
        item.judge(submission)
    results = {item.name: (item.share, item.sentence) for item in items}
    assert not [said for _, said in results.values() if "grader itself" in said]
    assert all(said for share, said in results.values() if share < 1)
    return results


def lost(results):
    return {name for name, (share, _) in results.items() if share < 1}


def points(results):
    return sum(item.points * results[item.name][0] for item in ITEMS)


def outcome(function, *arguments, **named):
    """What a call returned, or the `Failure` that it raised."""
    try:
        return function(*arguments, **named)
    except Failure as failure:
        return failure


def given_back(answer):
    if isinstance(answer, Failure):
        raise answer
    return answer


class Changed(Submission):
    """The dense solution in this process, with some functions changed; what others answer is kept for the next tests.

    Args:
      reached: names of functions whose answers are not the kept ones; those in `changed`, if None.
      changed: functions by name, None for one that is missing.
    """

    answers, drawn = {}, {}

    def __init__(self, reached=None, **changed):
        super().__init__(DENSE, seed=SEED)
        self.changed, self.reached, self.calls = changed, changed if reached is None else reached, []
        if not self.drawn:  # what is graded on, the same for all
            raw_images(self), problems.lattice(self, 4), problems.lattice(self, 8), problems.digits(self)
            self.drawn.update(self.kept)
        self.kept.update(self.drawn)

    def call(self, name, **arguments):
        key = name, hashlib.sha256(pickle.dumps(arguments)).digest()
        answers = {} if name in self.reached else self.answers
        if key not in answers:
            answers[key] = outcome(self.compute, name, arguments)
        self.calls.append((name, arguments, answers[key]))
        return given_back(answers[key])

    def compute(self, name, arguments):
        function = self.changed.get(name, getattr(solution, name))
        if function is None:
            raise Failure("is not there")
        try:
            value = function(**arguments)
        except Exception as error:
            raise Failure(f"raised {error!r}") from error
        return there_and_back(value)


def there_and_back(value):
    """What becomes of a value between two processes."""
    return wire.decode(io.BytesIO(wire.encode(value)).read)


@pytest.fixture(scope="module")
def dense():
    """What the dense solution gets."""
    return judged(Changed())


def test_points_add_up():
    assert ALL_POINTS - PARTS[BONUS] == 100 and PARTS[BONUS] == 10
    assert len({item.name for item in ITEMS}) == len(ITEMS)
    assert {part: sum(item.points for item in ITEMS if item.part == part) for part in PARTS} == PARTS


def test_a_dense_solution_gets_all_points_and_is_told_how_near_its_fits_are(dense):
    assert lost(dense) == set()
    assert points(dense) == ALL_POINTS
    for name in FITS | {"second_training_on_digits"}:
        assert "nats per image below the ceiling" in dense[name][1]
    for name in LEARNED:
        assert "that of the fitted Λ" in dense[name][1]


@pytest.mark.slow
def test_this_package_gets_all_points(tmp_path):
    assert run(*GRADE, "--results-json", tmp_path / "results.json").returncode == 0
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["score"] == ALL_POINTS, [test for test in content["tests"] if test["status"] == "failed"]


def fails(**_):
    raise ValueError("no luck")


def test_a_function_that_is_missing_or_fails_costs_its_own_points(dense):
    almost = wrong.after(solution.nce_loss, lambda value: 1.01 * value)
    results = judged(Changed(log_partition=None, sample=fails, second_loss=fails, nce_loss=almost))
    missing = {"exact_shared", "exact_per_edge", "refused", "log_partition"}
    losses = {"loss", "loss_noise_ratio", "loss_stable", "loss_shared", "loss_per_edge", "loss_large"}
    assert lost(results) == missing | losses | {"covariance", "mean", "symmetric_root"}
    assert "no luck" in results["loss_shared"][1]
    assert "You returned" in results["loss"][1] and "is right" in results["loss"][1]


# One of each kind is met by the quick tests, too.
QUICK = ("noise repeated", "edges counted once", "sign of J", "c not learned", "root not inverted")


@pytest.mark.parametrize("error", [e if e in QUICK else pytest.param(e, marks=pytest.mark.slow) for e in wrong.ERRORS])
def test_an_error_loses_its_own_points_and_no_others_and_is_told(error, dense, monkeypatch):
    expected = wrong.ERRORS[error]
    for name, function in expected.changed.items() if expected.everywhere else ():
        monkeypatch.setattr(solution, name, function)
    results = judged(Changed(expected.reached, **expected.changed))
    assert lost(results) == expected.lost, {name: results[name] for name in lost(results) ^ expected.lost}
    assert expected.told in next(sentence for share, sentence in results.values() if share < 1)
    if error != "couplings missing":
        assert ALL_POINTS - points(results) <= 8  # its own item and a few points


class Tensor:
    """One like torch's, with a gradient."""

    def __init__(self, value):
        self.value = np.asarray(value)

    def __array__(self, *_, **__):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")

    def detach(self):
        return SimpleNamespace(cpu=lambda: self.value)


def test_whatever_is_like_an_array_is_an_answer(dense):
    likes = {
        "preprocess": lambda train, test, mean: [Tensor(train), test.reshape(len(test), -1), mean[None]],
        "precision_matrix": sparse.csr_array,
        "quadratic_form": lambda value: value[:, None],
        "is_positive_definite": lambda value: np.array([value]),
        "log_partition": lambda value: [[value]],
        "sample": lambda value: value.astype(complex),
        "noise_log_density": lambda value: [Tensor(x) for x in value],
        "nce_loss": Tensor,
        "nce_gradient": lambda *parts: np.hstack(parts),
        "second_loss": lambda value: [float(value)],
    }
    results = judged(Changed(**{name: wrong.after(getattr(solution, name), like) for name, like in likes.items()}))
    assert lost(results) == set(), {name: results[name] for name in lost(results)}


def exactly(estimator, images, connectivity, seed):
    """`train` by maximum likelihood."""
    matrix, width = reference.maximum_likelihood(images, connectivity // 2), images.shape[2]
    couplings = matrix[[0, 0, 0, 1], [1, width, width + 1, width]][: connectivity // 2]
    return matrix[0, 0], couplings, reference.log_partition(matrix)


def test_answers_more_exact_than_sampling_get_a_note_for_the_teacher(dense):
    submission = Changed(train=exactly)
    assert lost(judged(submission)) == set()
    assert ["log Z" in note for note in sorted(submission.notes)] == [False, True]
    assert all(note.startswith("NOTE for the teacher") for note in submission.notes)


class Recorded(Submission):
    """What a submission answered in one grading: again in the same order, or for arguments that look alike."""

    def __init__(self, answers, by, seed):
        super().__init__(DENSE, seed=seed)
        self.answers, self.by = {}, by
        for name, arguments, answer in answers:
            self.answers.setdefault(by(name, arguments), []).append(answer)

    def call(self, name, **arguments):
        kept = self.answers.get(self.by(name, arguments), [Failure("is not there")])
        return given_back(kept.pop(0) if len(kept) > 1 else kept[0])


def in_order(name, _):
    return name


def alike(name, arguments):
    return name, *((key, value if isinstance(value, str) else np.shape(value)) for key, value in arguments.items())


def test_recorded_answers_earn_the_reports_points_and_no_others():
    recorder = Changed()
    judged(recorder)
    fits_alone = [call for call in recorder.calls if call[0] in ("train", "report", "second_estimator")]
    for seed, (answers, by) in enumerate(itertools.product((recorder.calls, fits_alone), (in_order, alike)), SEED + 1):
        results = judged(Recorded(answers, by, seed))
        assert {name for name, (share, _) in results.items() if share > 0} == REPORT


SLOW = """
import time
def sample(): time.sleep(9)
def train(): time.sleep(9)
def report(): return 'read'
def nce_loss(): raise NotImplementedError
def second_loss(): raise ValueError('no luck \\ud800')
"""


def test_the_reason_of_a_failure_is_passed_on_and_the_report_is_read_however_slow_the_rest_is(tmp_path):
    (tmp_path / "adapters.py").write_text(SLOW)
    with closing(Submission(tmp_path, Limits(call_seconds=0.5, train_seconds=0.75))) as submission:
        for name, said in (
            ("nce_loss", "is not written yet"),
            ("second_loss", r"ValueError: no luck \? \(line 7 of adapters.py\)"),
            ("log_partition", "no function of this name"),
            ("sample", "within 0.5 s"),
            ("sample", "not called again"),
            ("train", "within 0.75 s"),
        ):
            with pytest.raises(Failure, match=said):
                submission.call(name)
        submission.limits = Limits(total_seconds=1)
        with pytest.raises(Failure, match="used up the submission's 1 s"):
            submission.call("quadratic_form")
        assert submission.call("report") == "read"
    assert Limits().total_seconds >= 12 * Limits().train_seconds + 4 * Limits().call_seconds


# The report.

SPELLINGS = {
    "why this p_n": (r"$p_n(x)$", r"$p_{n}$", r"$p_{\mathrm{n}}$", r"$p_\text{noise}$", "noise\ndensity", "pₙ"),
    "how close log Z is": (r"\log Z", r"\log\hat{Z}", r"\ln Z_\theta", "normalising constant", "partition\nfunction"),
    "the second estimator": ("score-matching", "conditional NCE", "score\nmatch-\ning", "cNCE"),
    "the optimiser": ("SGD", "stochastic gradient\ndescent", "AdamW", "L-BFGS", "RMSProp", "Newton's method"),
    "pictures of samples": (r"\includegraphics{a}", r"\begin{tikzpicture}", "![](a)", "<img src=a>", r"\includesvg{a}"),
}


def of_report(text, chosen):
    return judged(Changed(report=lambda: text), chosen)


def test_the_report_is_searched_in_every_spelling():
    assert set(SPELLINGS) == set(TOPICS)
    text = "A short text on something else, exp_n, a logarithm of zebras, matching socks and adamant optimists. "
    for topic, spellings in SPELLINGS.items():
        others = " ".join(first for other, (first, *_) in SPELLINGS.items() if other != topic)
        for spelling in ("", *spellings):
            share, sentence = of_report(f"{text} {others}\n{spelling}", "topics")["topics"]
            assert (share == 1) == bool(spelling), (topic, spelling)
            assert spelling or topic in sentence


def test_words_are_words_and_notebooks_are_read():
    assert words(r"Two words \textbf{here}, my_name f(x) np.zeros `code too` $x$ 12") == ["Two", "words", "here"]
    cells = [
        {"cell_type": "markdown", "source": ["We sampled ", "p_n"]},
        {"cell_type": "code", "source": "import adam", "outputs": [{"data": {"image/png": "A" * 20_000_000}}]},
    ]
    notebook = json.dumps({"cells": cells})
    assert _of_notebook(notebook) == "We sampled p_n\n\nimage/png"
    assert there_and_back(notebook) == notebook
    started = time.perf_counter()
    for endless in ("<", "\\begin{verbatim}", "contrasti", "\\input{", "-\n ", "p_", "log hat"):
        of_report(endless * 30_000, "report")
    assert time.perf_counter() - started < 10


# What holds a submission.

SPY = """
import ctypes, os, resource, signal, socket, time

def attempts():
    libc = ctypes.CDLL(None, use_errno=True)
    def call(name, *arguments):
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno())
    def unix():
        socket.socket(socket.AF_UNIX).connect("\\0" + ABSTRACT)
    def share(path):
        import mmap
        mmap.mmap(os.open(path, os.O_RDWR) if path else -1, 4096)
    return {
        "read the tests": lambda: open(TESTS + "/grader/reference.py"),
        "list the tests": lambda: os.listdir(TESTS),
        "read the package": lambda: open(TESTS + "/../../assignment/errors.py"),
        "read by a link": lambda: open(os.path.dirname(__file__) + "/way_out/canary"),
        "read the canary": lambda: open(CANARY),
        "change itself": lambda: open(__file__, "a"),
        "write elsewhere": lambda: open("/usr/written", "w"),
        "change permissions": lambda: os.chmod(os.path.dirname(CANARY), 0),
        "kill": lambda: os.kill(PARENT, signal.SIGTERM),
        "limit": lambda: resource.prlimit(PARENT, resource.RLIMIT_NOFILE, (9, 9)),
        "read its memory": lambda: open(f"/proc/{PARENT}/mem", "rb"),
        "connect": lambda: socket.socket().connect((b"127.0.0.1", PORT)),
        "connect by name": unix,
        "hold a segment": lambda: call("shmget", 77, 4096, 0o1666),
        "hold a file": lambda: call("memfd_create", b"x", 0),
        "unshare": lambda: call("unshare", 0x10000000),
        "hold shared memory": lambda: share(None),
        "share zeros": lambda: share("/dev/zero"),
        "take a processor": lambda: os.sched_setaffinity(0, range(os.cpu_count())),
        "leave a file": lambda: open("/var/tmp/left", "w"),
        "write a large file": lambda: allocate("/tmp/large", 2**30),
        "fill the disk": lambda: [allocate(f"/tmp/{k}", 300 * 2**20) for k in range(2)],
    }

def allocate(path, size):
    os.posix_fallocate(os.open(path, os.O_CREAT | os.O_RDWR), 0, size)

def report():
    done = []
    for name, attack in attempts().items():
        try:
            attack()
            done.append(name)
        except (OSError, ValueError, ImportError):
            pass
    return ", ".join(done)

def multiprocess():
    import multiprocessing
    with multiprocessing.Pool(2) as pool:
        lock = multiprocessing.Lock()
        return pool.map(abs, [-1, 2])

def environment(): return ",".join(os.environ)

ticks = []
def tick():
    while True:
        ticks.append(time.sleep(0.01))
def ticked():
    import threading
    if not ticks:
        threading.Thread(target=tick, daemon=True).start()
    return len(ticks)
"""


def a_canary(folder):
    canary = folder / "outside" / "canary"
    canary.parent.mkdir()
    canary.write_text("the canary sings")
    os.utime(canary, (0, 0))  # a reader would change this, where the file system says so at all
    return canary


@pytest.fixture
def spied(tmp_path):
    """(a folder with the spy, a listener on the network, the canary that nobody may read)."""
    canary = a_canary(tmp_path)
    (tmp_path / "spy").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0grading-{os.getpid()}")
        abstract.listen()
        facts = {"TESTS": str(GRADING.resolve()), "CANARY": str(canary), "PARENT": os.getpid()}
        facts |= {"PORT": listener.getsockname()[1], "ABSTRACT": f"grading-{os.getpid()}"}
        text = "".join(f"{name} = {value!r}\n" for name, value in facts.items())
        (tmp_path / "spy" / "adapters.py").write_text(text + SPY)
        (tmp_path / "spy" / "way_out").symlink_to(canary.parent)
        yield tmp_path / "spy"


@needs_bwrap
def test_a_submission_sees_only_itself_and_may_use_several_processes(spied, monkeypatch):
    monkeypatch.setenv("A_SECRET", "1")
    with closing(Submission(spied)) as submission:
        assert submission.call("report") == ""
        assert submission.call("multiprocess") == [1, 2]
        assert "A_SECRET" not in submission.call("environment")
        before = submission.call("ticked")
        time.sleep(0.3)
        assert submission.call("ticked") < before + 10  # nothing runs between two calls


@pytest.fixture
def for_all():
    """A Python that every user may run; that of the tests may lie in root's home."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        python = Path(folder, "python")
        path = ":".join(site.getsitepackages())
        python.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec /usr/bin/python3.{sys.version_info[1]} "$@"\n')
        python.chmod(0o755)
        if os.geteuid() or not sandbox._runs([python, "-c", "import numpy, psutil"], user=65534, group=65534):
            pytest.skip("needs root, and a Python of this version that all may run")
        yield str(python)


def test_without_bubblewrap_root_makes_it_nobody_and_says_so(spied, for_all, monkeypatch):
    monkeypatch.setattr(sandbox, "kind", lambda: "nobody")
    monkeypatch.setattr(sandbox, "PYTHON", for_all)
    spied.parent.joinpath("outside").chmod(0o700)
    may = "read the tests, list the tests, read the package"  # where they are open to all
    may += ", connect by name, share zeros, leave a file, fill the disk"
    with closing(Submission(spied)) as submission:
        assert set(submission.call("report").split(", ")) <= set(may.split(", "))
    assert not Path("/var/tmp/left").exists()
    assert "nobody" in sandbox.note("nobody")


def held_by(kind, folder, python=sandbox.PYTHON):
    """The environment of a grading whose sandbox is of this kind; a file in `folder` sees to it."""
    changes = f"from grading.grader import sandbox\nsandbox.kind, sandbox.PYTHON = lambda: {kind!r}, {python!r}\n"
    (folder / "sitecustomize.py").write_text(changes)
    return {"PYTHONPATH": f"{folder}:{GRADING.parent}"}


def test_without_anything_to_hold_a_submission_grading_is_refused_unless_asked_for(tmp_path):
    environment = held_by("none", tmp_path)
    grade = [*GRADE, f"--submission={DENSE}", "-k", "samples"]
    refused = run(*grade, **environment)
    assert refused.returncode == 4 and "--no-sandbox" in refused.stderr
    graded = run(*grade, "--no-sandbox", **environment)
    assert graded.returncode == 0 and "NOTE: graded without a sandbox" in graded.stdout


def test_a_call_that_eats_memory_is_ended_and_named(tmp_path):
    (tmp_path / "adapters.py").write_text("def hoard(kept=[]):\n  while True: kept.append(bytes([1]) * 2**22)\n")
    with closing(Submission(tmp_path, Limits(memory=2**28, call_seconds=60))) as submission:
        for said in ("used more than 256 MiB of memory", "it was not called again"):
            with pytest.raises(Failure, match=said):
                submission.call("hoard")


def test_forged_messages_are_refused_and_texts_made_writable():
    value = {"a": [1, 2.5, "x\ud800\x1b[2J", None, np.arange(6.0).reshape(2, 3), object()]}
    back = there_and_back(value)["a"]
    assert back[:4] == [1, 2.5, "x?\ufffd[2J", None] and isinstance(back[5], wire.Bad)
    np.testing.assert_array_equal(back[4], value["a"][4])
    for text in (
        b"{",
        b'{"array": ["object", [2]]}',
        b'{"array": ["float64", [-1]]}',
        b'{"array": ["float64", [1e300]]}',
        b'{"array": ["float64", [33554432]]}',
        b'{"text": "x"}',
        b"[" * 100_000,
    ):
        with pytest.raises(wire.BadMessage):
            wire.decode(io.BytesIO(len(text).to_bytes(4, "big") + bytes(4) + text).read)
    for lengths in (b"\xff\xff\xff\xff\0\0\0\0", b"\0\0\0\0\xff\xff\xff\xff"):
        with pytest.raises(wire.BadMessage):
            wire.decode(io.BytesIO(lengths).read)


def test_odd_answers_are_lost_before_they_cost_memory():
    for odd in (np.broadcast_to(np.uint8(0), 2**40), 10**400, "x", {"a": 1}, [[1], [1, 2]], None, wire.Bad("is odd")):
        with pytest.raises(Lost):
            as_array("f", odd, (2, 3))
    submission = Changed()
    submission.call = lambda name, **_: np.arange(2)
    assert {share for share, _ in judged(submission).values()} == {0}


def test_names_are_written_so_that_none_is_taken_for_another_or_for_a_formula():
    odd = [os.fsdecode(b"caf\xe9"), "caf\\xe9", "a\nb", "a\\nb", "=1+1", "@x", "-x", "+x", "Zoë"]
    shown = [names.shown(name) for name in odd]
    assert len(set(shown)) == len(odd) and all(text.isprintable() for text in shown)
    assert [names.for_a_cell(text)[0] for text in odd[4:8]] == ["'"] * 4
    assert names.for_a_cell("Zoë") == "Zoë"
    assert len(names.for_a_file("é" * 255).encode()) < 250


# Whole classes.

HOSTILE = {  # the one that takes longest is begun first
    "00 sleeper": """
import time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def preprocess(**_): time.sleep(4242)
""",
    "00 symlink": "def report(): return open(__file__[:-11] + 'way_out/canary').read()",
    "01 chmod": """
import os
for path in ('..', '/', '/submission', CLASS):
    try: os.chmod(path, 0)
    except OSError: pass
""",
    "02 limits": """
import os, resource
for pid in (1, os.getppid(), GRADER):
    try: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)); os.kill(pid, 9)
    except OSError: pass
""",
    "03 surrogate": """
def preprocess(**_): raise ValueError('\\ud800 \\x1b]0;x\\x07')
def report(): return '\\udfff'
""",
    "04 caf\udce9\x1b\n": "import os; raise SystemExit(f'=1 of {len(os.sched_getaffinity(0))} processors')",
    "=05 formula": "def preprocess(**_): return '=1', {'a': 1}, print('\\x1b[2J' * 9999)",
    "06 memory": """
import ctypes
libc = ctypes.CDLL(None)
libc.shmget(4242, 2**24, 0o1666)
libc.memfd_create(b'x', 0)
open('/dev/shm/held', 'wb').write(b'x' * 2**24)
""",
    "07 daemon": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(4242)
    os._exit(0)
""",
    "08 exit": "import os; os._exit(0)",
    "09 killer": """
import os, signal
def preprocess(**_): os.kill(-1, signal.SIGKILL)
def sample(**_): os.killpg(0, 9)
""",
    "11 forger": """
import os
for handle in range(3, 64):
    try: os.write(handle, b'\\xff' * 64)
    except OSError: pass
""",
    "14 maze": "",
}


def zipped(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def leftovers(folder):
    """What a grading with its temporary files in `folder` might leave behind: processes, segments, mounts, files."""
    told = {p.name: read(p / "cmdline") + read(p / "mountinfo") for p in Path("/proc").glob("[0-9]*")}
    files = [*folder.glob("grad*"), *Path("/dev/shm").glob("held*")]
    return {
        "processes": sorted(name for name, text in told.items() if f"{folder}/" in text),
        "segments": [line for line in read(Path("/proc/sysvipc/shm")).splitlines() if " 4242 " in line],
        "mounts": read(Path("/proc/mounts")),
        "files": sorted(path.name for path in files),
    }


def read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:  # the process has ended meanwhile
        return ""


def a_class(root, canary):
    """Fifteen hostile or odd submissions, and two honest ones at the end."""
    for name, code in HOSTILE.items():
        (root / name).mkdir()
        (root / name / "adapters.py").write_text(f"CLASS, GRADER = {str(root)!r}, {os.getpid()}\n{code}")
        (root / name / "way_out").symlink_to(canary.parent)
    (root / "14 maze").joinpath(*["d"] * 100).mkdir(parents=True)
    (root / "12 pipe").mkdir()
    os.mkfifo(root / "12 pipe" / "adapters.py")
    (root / "13 broken.zip").write_bytes(b"PK\x03\x04 and no more")
    shutil.copytree(DENSE, root / "98 honest", ignore=shutil.ignore_patterns("__pycache__"))
    work = {f"my work/solution/{path.name}": path.read_bytes() for path in DENSE.glob("*.*")}
    rubbish = {"__MACOSX/my work/._adapters.py": b"\0", "my work/.DS_Store": b"\0"}
    zipped(root / "99 Zoë_123_assignsubmission_file_.zip", work | rubbish)


def grade_all(*arguments, **environment):
    return run(sys.executable, GRADING / "grade_all.py", *arguments, **environment)


def rows(table):
    return {row["submission"]: row for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())}


@needs_bwrap
@pytest.mark.slow
def test_a_hostile_class_harms_nobody_and_leaves_nothing(tmp_path):
    canary = a_canary(tmp_path)
    (tmp_path / "class").mkdir()
    a_class(tmp_path / "class", canary)
    (tmp_path / "tmp").mkdir()
    before, table = leftovers(tmp_path / "tmp"), tmp_path / "grades.csv"
    process = grade_all(tmp_path / "class", table, "--jobs", 2, TMPDIR=str(tmp_path / "tmp"))
    assert process.returncode == 0, process.stderr
    graded = rows(table)
    assert len(graded) == len(HOSTILE) + 4
    honest = [row for name, row in graded.items() if name.startswith("9")]
    assert [(row["total/100"], row["bonus 8/10"], row["status"]) for row in honest] == [("100.0", "10.0", "graded")] * 2
    assert all(float(row["seconds"]) < 30 for row in honest)
    assert {row["status"] for row in graded.values() if not row["submission"].startswith("13")} == {"graded"}
    assert graded["13 broken"]["status"] == "grader failed" and "zip" in graded["13 broken"]["notes"]
    assert "04 caf\\xe9\\x1b\\n" in graded and "'=05 formula" in graded
    details = b"".join(path.read_bytes() for path in (tmp_path / "grades").iterdir())
    assert b"canary sings" not in details and b"\x1b" not in details and canary.stat().st_atime == 0
    assert {"98 honest.txt", "98 honest.json"} <= {path.name for path in (tmp_path / "grades").iterdir()}
    processors = len(os.sched_getaffinity(0))
    shares = (processors // 2 or 1, (processors + 1) // 2)
    assert any(f"=1 of {share} processors".encode() in details for share in shares)
    assert canary.parent.stat().st_mode & 0o777 == 0o755 and (tmp_path / "class").stat().st_mode & 0o777 == 0o755
    assert leftovers(tmp_path / "tmp") == before
    # Started again, only what did not come to its end is tried.
    again = grade_all(tmp_path / "class", table)
    assert again.stdout.count("\n[") + again.stdout.startswith("[") == 1 and "13 broken" in again.stdout


@pytest.mark.slow
def test_a_class_is_graded_from_where_it_stopped_and_again_by_name(tmp_path):
    students, table = tmp_path / "students", tmp_path / "grades.csv"
    for name in ("ada", "bob"):
        (students / name).mkdir(parents=True)
    (students / "note.txt").write_text("")
    partial = grade_all(students, table, "-k", "samples")
    assert "note.txt" in partial.stdout and partial.returncode == 0, partial.stderr
    assert {row["status"] for row in rows(table).values()} == {"partial"}
    first = grade_all(students, table)
    assert "ada" in first.stdout and "bob" in first.stdout and first.returncode == 0, first.stderr
    assert {row["status"] for row in rows(table).values()} == {"graded"}
    assert all(row["seed"].isdigit() and row["total/100"] == "0.0" for row in rows(table).values())
    marked = table.read_text().replace(",graded,,\n", ",graded,,3\n").replace(",graded,,\r\n", ",graded,,3\r\n")
    table.write_text(marked[: marked.rindex("bob") + 5])  # as if interrupted in the middle of a line
    second = grade_all(students, table)
    assert "ada" not in second.stdout and "bob" in second.stdout
    seed = rows(table)["ada"]["seed"]
    before = table.read_bytes()
    unknown = grade_all(students, table, "--regrade", "adda")
    assert unknown.returncode == 2 and "there is no submission adda" in unknown.stderr and table.read_bytes() == before
    third = grade_all(students, table, "--regrade", "ada")
    assert "ada" in third.stdout and "bob" not in third.stdout
    assert rows(table)["ada"]["seed"] != seed and rows(table)["ada"]["teacher"] == "3"


def test_a_table_of_grades_is_read_as_a_spreadsheet_saves_it_and_nothing_else_is(tmp_path):
    """A line stays, with the teacher's mark, until the new one takes its place."""
    row = dict.fromkeys(class_table.COLUMNS, "1") | {"submission": "ada; b", "teacher": "88,5", "notes": "ö"}
    path, table = tmp_path / "grades.csv", {"ada; b": row}
    assert class_table.read(path) == {}
    class_table.save(path, table)
    assert class_table.read(path) == table
    for encoding, delimiter in (("utf-8-sig", ","), ("utf-8-sig", ";"), ("utf-8", ";")):
        with path.open("w", newline="", encoding=encoding) as file:
            writer = csv.DictWriter(file, class_table.COLUMNS, delimiter=delimiter)
            writer.writeheader()
            writer.writerow(row)
        assert class_table.read(path) == table
    path.write_text("name;points\nada;3\n")
    with pytest.raises(ValueError, match="is no table of grades"):
        class_table.read(path)
    (tmp_path / "class").mkdir()
    process = grade_all(tmp_path / "class", path)
    assert process.returncode == 2 and "is no table of grades" in process.stderr and "ada;3" in path.read_text()


def test_a_class_is_graded_without_bubblewrap(tmp_path, for_all):
    (tmp_path / "class" / "ada").mkdir(parents=True)
    (tmp_path / "class" / "ada" / "adapters.py").write_text("def report(): return 'word ' * 300")
    environment = held_by("nobody", tmp_path, for_all) | {"TMPDIR": str(Path(for_all).parent)}
    process = grade_all(tmp_path / "class", tmp_path / "grades.csv", "-k", "report", **environment)
    assert rows(tmp_path / "grades.csv")["ada"]["report/6"] == "1.0", process


def test_grade_all_explains_itself_where_no_submissions_are_named(tmp_path):
    for named in ("", tmp_path / "nowhere"):
        process = grade_all(named, tmp_path / "grades.csv")
        assert process.returncode == 2 and "Traceback" not in process.stderr
        assert "SUBMISSIONS=" in process.stderr or "there is no folder or zip" in process.stderr


def test_zips_cannot_write_elsewhere_and_are_bounded(tmp_path, monkeypatch):
    zipped(tmp_path / "a.zip", {"../../out": b"x", "deep/er/adapters.py": b""})
    folder = archives.located(tmp_path / "a.zip", tmp_path)
    assert folder == tmp_path / "submission" / "deep" / "er" and not (tmp_path.parent / "out").exists()
    zipped(tmp_path / "b.zip", {"zeros": bytes(1001)})
    monkeypatch.setattr(archives, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="holds more than"):
        archives.extracted(tmp_path / "b.zip", tmp_path / "b")


FOREVER = """
import os, time
def sample(**_):
    if os.fork():
        time.sleep(4243)
    os.setsid()
    if os.fork() == 0:
        time.sleep(4243)
    os._exit(0)
"""


@pytest.mark.parametrize("kind", ["bwrap", "nobody"])
def test_a_killed_grader_leaves_valid_results_and_no_process(kind, tmp_path, request):
    if kind == "bwrap" != sandbox.kind():
        pytest.skip("needs bubblewrap")
    (tmp_path / "adapters.py").write_text(FOREVER)
    python = request.getfixturevalue("for_all") if kind == "nobody" else sandbox.PYTHON
    results = tmp_path / "results.json"
    grade = [*GRADE, f"--submission={tmp_path}", f"--results-json={results}", "-k", "samples"]
    with tempfile.TemporaryDirectory(dir=Path(python).parent if kind == "nobody" else None) as room:
        os.chmod(room, 0o755)
        environment = QUIET | held_by(kind, tmp_path, python) | {"TMPDIR": room}
        process = subprocess.Popen(grade, stdout=subprocess.DEVNULL, env=environment)
        until(lambda: len(leftovers(Path(room))["processes"]) > 2)  # the child of a child, too
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not leftovers(Path(room))["processes"])
    content = json.loads(results.read_text())
    assert len(content["tests"]) == 3 and content["extra_data"]["status"] == "grader failed"


def until(true):
    for _ in range(200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError


def test_no_link_leads_to_the_work_of_another(tmp_path):
    zipped(tmp_path / "other.zip", {"adapters.py": (DENSE / "adapters.py").read_bytes()})
    links = {"tests/grading/adapters.py": DENSE / "adapters.py", "adapters.py": DENSE / "adapters.py"}
    links |= {"tests": GRADING.parent, "mine.zip": tmp_path / "other.zip", "work": DENSE}
    for number, (link, target) in enumerate(links.items()):
        folder = tmp_path / str(number)
        (folder / link).parent.mkdir(parents=True)
        (folder / link).symlink_to(target)
        assert archives.located(folder, tmp_path) == folder
        with pytest.raises(Failure, match="is not there|could not be imported"):
            Submission(folder).call("second_estimator")


def test_the_same_seed_draws_the_same_and_another_does_not():
    draws = [Submission(DENSE, seed=seed).random("x").normal() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert Submission(DENSE).seed != Submission(DENSE).seed


def test_gradescope_archive_runs_as_configured_and_prints_its_seed(tmp_path):
    source = tmp_path / "source"
    run(sys.executable, GRADING / "gradescope" / "pack.py", tmp_path / "a.zip", "after_due_date").check_returncode()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
        assert not any("dense" in name or "adapters" in name for name in archive.namelist())
        assert not any(b"\r" in archive.read(name) for name in archive.namelist() if not name.endswith(".npz"))
        archive.extractall(source)
    shutil.copytree(DENSE, tmp_path / "submission" / "my folder")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@" -k samples --seed 5\n')
    (tmp_path / "venv" / "bin" / "python").chmod(0o755)
    process = run("bash", source / "run_autograder", AUTOGRADER=str(tmp_path))
    content = json.loads((tmp_path / "results" / "results.json").read_text())
    assert content["score"] == 8 and content["extra_data"]["status"] == "partial"
    assert {test["visibility"] for test in content["tests"]} == {"after_due_date"}
    assert process.returncode == 0 and "seed: 5 (the same draws again: --seed 5)" in process.stdout


def test_the_students_kit_and_the_grader_do_not_drift_apart(dense, tmp_path):
    for name, content in kit.files().items():
        (tmp_path / name).write_bytes(content)
    check = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path, f"--rootdir={tmp_path}"]
    empty = run(*check)
    assert "passed" not in empty.stdout and "NotImplementedError" in empty.stdout
    body = ast.parse((tmp_path / "adapters.py").read_text()).body
    skeleton = {node.name: node.args for node in body if isinstance(node, ast.FunctionDef)}
    assert set(skeleton) == {name for name, _ in Changed.answers}
    for case in json.loads((tmp_path / "public_cases.json").read_text()):
        assert set(case["arguments"]) == {argument.arg for argument in skeleton[case["function"]].args}
    shutil.copy(DENSE / "adapters.py", tmp_path)
    full = run(*check)
    assert full.returncode == 0, full.stdout
    assert "scipy" in (tmp_path / "requirements.txt").read_text()
    readme = (tmp_path / "README.md").read_text()
    for limit in (f"`train` {Limits().train_seconds} s", "7 × 8 and 14 × 14", "3 GiB", "keyword"):
        assert limit in readme


# Small facts.


def test_every_command_of_the_readme_is_a_target():
    for line in (GRADING / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("    make "):
            command = shlex.split(line, comments=True)
            printed = run(*command, "-n", "-o", ".venv/.ready", f"--directory={GRADING.parents[1]}").stdout
            assert all(word.split("=")[-1] in printed for word in command[2:]) and "tests/grading" in printed


def test_where_all_tests_are_collected_the_graded_items_are_those_of_this_package():
    tests = GRADING.parent
    collected = run(sys.executable, "-m", "pytest", tests, "--collect-only", f"--ignore-glob={tests}/test_*.py")
    assert collected.returncode == 0 and collected.stdout.count("test_items.py::test_item[") == len(ITEMS)


def test_the_readme_says_what_holds():
    text, limits = " ".join((GRADING / "README.md").read_text(encoding="utf-8").split()), Limits()
    assert len((GRADING / "README.md").read_text(encoding="utf-8").splitlines()) <= 50
    seconds = f"A call may take {limits.call_seconds} s, `train` {limits.train_seconds} s, all {limits.total_seconds} s"
    assert f"{seconds}, memory {limits.memory >> 30} GiB" in text and f"{2 * sandbox.TMPFS >> 30} GiB at most" in text
    assert ", ".join(f"{part} {points}" for part, points in PARTS.items() if part != BONUS) in text
    body = ast.parse((GRADING / "adapters.py").read_text(encoding="utf-8")).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    assert len(functions) == 13 and "the thirteen functions" in text


def test_lost_points_are_shares_of_what_there_is():
    assert closeness(0.1, 0.5, 20) == closeness(0.5, 0.5, 20) == 1
    assert closeness(20, 0.5, 20) == closeness(float("nan"), 0.5, 20) == 0
    assert closeness(np.sqrt(10), 0.5, 20) == pytest.approx(0.5)
    assert Lost("", 7).share == 1 and Lost("", -7).share == 0
    assert trainings.TOO_EXACT[0] < trainings.TOO_EXACT[1] < 0.3


def test_reference_answers_match_facts_found_elsewhere():
    for diagonal, directions, log_det in ((4.5, 2, 1077.21448), (8.5, 4, 1605.56416)):
        matrix = reference.precision_matrix(diagonal, -np.ones(directions), 28, 28)
        assert 784 * np.log(2 * np.pi) - 2 * reference.log_partition(matrix) == pytest.approx(log_det, abs=1e-5)
    # The golden value of one-dimensional NCE: Λ_θ = 2, Λ_n = 1, ν = 2.
    matrix, variance = np.array([[2.0]]), np.ones((1, 1))
    ratios = [
        -0.5 * reference.quadratic_form(matrix, x)
        - reference.log_partition(matrix)
        - reference.noise_log_density(x, variance)
        for x in (np.reshape((0, 1, 2), (-1, 1, 1)), np.reshape((0, -1, 3, 0.5, -0.5, 1.5), (-1, 1, 1)))
    ]
    assert -reference.nce_loss(*ratios, 2) == pytest.approx(-2.1995960888, abs=1e-9)
