"""Nothing from outside is trusted: what the package and the grader may not call, read off their syntax trees."""

import ast
import shutil
from pathlib import Path

import pytest

from assignment.errors import UserError
from assignment.exercise import report

ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("assignment/**/*.py"), *ROOT.glob("tests/grading/**/*.py")])

MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "commands", "pty"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "tempfile.mktemp"}
STARTERS = {f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen")}
# What these functions must be told, wherever they are called.
ASKED = {"np.load": ("allow_pickle", False), "numpy.load": ("allow_pickle", False)}
ASKED |= {name: ("filter", "data") for name in ("extract", "extractall", "unpack_archive")}
# That of zipfile has no such argument: it stays within its folder by itself, and goes by this name.
OF_ZIPFILE = "zipped.extract"
WATCHED = SHELLS | STARTERS | ASKED.keys()
# What nobody may be told.
REFUSED = {"shell": True, "allow_pickle": True, "verify": False, "verify_ssl": False, "safe_mode": False}


def faults(source):
    """What a module does that it may not, in words with line numbers."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            modules = names if isinstance(node, ast.Import) else [node.module]
            yield from (f"line {node.lineno} imports {name}" for name in modules if name.split(".")[0] in MODULES)
            if isinstance(node, ast.ImportFrom) and WATCHED & {f"{node.module}.{name}" for name in names}:
                yield f"line {node.lineno} imports a function by name, out of sight of this test"
        elif isinstance(node, ast.Call):
            yield from (f"line {node.lineno}: {fault}" for fault in faults_of_call(node))


def faults_of_call(call):
    name = ast.unparse(call.func)
    told = {keyword.arg: getattr(keyword.value, "value", keyword.value) for keyword in call.keywords}
    if name in BUILTINS | SHELLS or name.startswith(("os.exec", "os.spawn")):
        yield f"{name} is called"
    for key in (name, name.rpartition(".")[2]):
        if key in ASKED and name != OF_ZIPFILE and told.get(ASKED[key][0], "nothing") != ASKED[key][1]:
            yield f"{name} is not told {ASKED[key][0]}={ASKED[key][1]!r}"
    if name in STARTERS and isinstance(call.args[0] if call.args else None, (ast.Constant, ast.JoinedStr, ast.BinOp)):
        yield f"{name} is given a command line, not a list of arguments"
    yield from (f"{name} is told {key}={value}" for key, value in REFUSED.items() if told.get(key) is value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_from_outside_is_trusted(path):
    assert not list(faults(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "import numpy as np, marshal",
        "from numpy import load",
        "from subprocess import run",
        "from os import system",
        "np.load('fit.npz')",
        "np.load('fit.npz', allow_pickle=True)",
        "np.load(file, allow_pickle=ask)",
        "archive.extractall(folder)",
        "tar.extract(member, folder, filter='fully_trusted')",
        "shutil.unpack_archive(path)",
        "eval(text)",
        "exec(code, {})",
        "os.system('ls')",
        "os.execvp('ls', ['ls'])",
        "subprocess.run(command, shell=True)",
        "subprocess.run('ls')",
        "subprocess.Popen(f'ls {folder}')",
        "subprocess.check_output('ls ' + folder)",
        "tempfile.mktemp()",
        "keras.models.load_model(path, safe_mode=False)",
        "tfds.download.DownloadConfig(verify_ssl=False)",
    ],
)
def test_what_this_test_would_find(source):
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    [
        "np.load(file, allow_pickle=False)",
        "json.load(file)",
        "archive.extractfile(member).read()",
        "archive.extractall(folder, filter='data')",
        "subprocess.run([sys.executable, '-c', code], check=True)",
        "re.compile(words)",
        "spec.loader.exec_module(module)",
    ],
)
def test_what_it_lets_pass(source):
    assert not list(faults(source))


@pytest.mark.skipif(not shutil.which("latexmk"), reason="latexmk is not installed")
def test_a_latexmkrc_in_the_output_folder_is_not_run(tmp_path, monkeypatch):
    for name in ("latexmkrc", ".latexmkrc"):
        (tmp_path / name).write_text('open(my $file, ">", "trusted"); close($file);')
    empty = tmp_path / "source.tex"
    empty.write_text("no LaTeX at all")
    monkeypatch.setattr(report, "SOURCE", empty)
    (tmp_path / "report.tex").write_text("\\stop")
    with pytest.raises(UserError, match="LaTeX could not typeset"):
        report.typeset(tmp_path)
    assert not (tmp_path / "trusted").exists()
