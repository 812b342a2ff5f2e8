"""The direction of imports, what must stay light, and the form of what is public."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "assignment"

# Who may import whom, lowest first: a module imports from its own name here, and from the rows above.
LAYERS = [
    ("errors", "seeds", "progress"),
    ("checks",),
    ("data", "lattice", "results"),
    ("objectives", "derivation"),
    ("training",),
    ("fits",),
    ("exercise/estimators",),  # tables, which the figures and the command line read
    ("exercise/settings",),
    ("reporting",),
    ("benchmark",),
    ("__init__",),
    ("exercise",),
    ("command_line",),
    ("__main__",),
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = {path.relative_to(PACKAGE): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
every_module = pytest.mark.parametrize("path", MODULES, ids=str)

# Whole words of an earlier version that said in pictures what the field has words for.
METAPHORS = r"journey|descent|slips|workshop|doorbell|whence|in earnest|nought|house|doorstep"
TEXTS = [
    path
    for pattern in ("assignment/**/*.py", "tests/**/*.py", "**/README.md", "Makefile", ".ci/run", "reports/report.tex")
    for path in sorted(ROOT.glob(pattern))
    if ".venv" not in path.parts and path != Path(__file__)
]


def imports(path):
    """The names that a module imports, but for those that only its type hints need."""
    tree = MODULES[path]
    hints = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    hidden = {id(inner) for node in hints for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(parts):
    whole = "/".join(parts[:2]).removesuffix(".py")
    return whole if whole in LEVEL else parts[0].removesuffix(".py")


@every_module
def test_imports_run_one_way(path):
    here = layer_of(path.parts)
    for name in imports(path):
        first, *parts = name.split(".")
        if first == "assignment":
            there = layer_of(parts) if parts and layer_of(parts) in LEVEL else "__init__"
            assert there == here or LEVEL[there] < LEVEL[here], f"{path} imports {name}"


@every_module
def test_only_declared_packages_are_imported(path):
    declared = {"tensorflow", "tensorflow_probability", "tensorflow_datasets", "matplotlib", "keras", "numpy", "tqdm"}
    theirs = {"cycler", "google", "PIL", "requests"}  # What these require themselves.
    allowed = declared | theirs | {"assignment", *sys.stdlib_module_names}
    assert {name.split(".")[0] for name in imports(path)} <= allowed


@every_module
def test_a_file_is_short_enough_to_read(path):
    assert len((PACKAGE / path).read_text().splitlines()) <= 400


def test_the_number_of_directions_is_data():
    """Nothing but the table of offsets tells the neighbourhoods apart; one sine form asks for the 4-connected one."""
    found = [
        (path, node.lineno)
        for path, tree in MODULES.items()
        if path.parts[0] in ("lattice", "objectives", "training", "fits")
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and "connectivity" in ast.unparse(node)
    ]
    assert len(found) <= 2, found


def public(tree):
    """The public functions and classes of a module, and the methods of the classes, each with its class or None."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node, None
            if isinstance(node, ast.ClassDef):
                yield from ((method, node) for method in node.body if isinstance(method, ast.FunctionDef))


@every_module
def test_every_public_thing_says_what_it_is(path):
    tree, missing = MODULES[path], []
    for node, owner in public(tree):
        # What a library calls it, the library describes; what overrides a method of ours, that one does.
        inherited = owner is not None and owner.bases
        if not (node.name.startswith("_") or ast.get_docstring(node) or inherited):
            missing.append(node.name)
    assert not missing
    assert ast.get_docstring(tree) or not tree.body


@every_module
def test_every_public_signature_has_type_hints(path):
    missing = []
    for node, owner in public(MODULES[path]):
        if isinstance(node, ast.ClassDef) or node.name.startswith("_") and node.name not in ("__init__", "__call__"):
            continue
        a = node.args
        arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]
        bare = [argument.arg for argument in arguments[owner is not None :] if not argument.annotation]
        if bare or node.returns is None and node.name != "__init__":
            missing.append((node.name, *bare))
    assert not missing


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_referred_to_is_there_and_said_plainly(path):
    text = path.read_text(encoding="utf-8")
    documents = set(re.findall(r"[\w./-]+\.md\b", text))
    assert not [name for name in documents if not any((folder / name).is_file() for folder in (ROOT, path.parent))]
    assert not re.findall(r"hand-?out", text, re.IGNORECASE)
    if path.is_relative_to(PACKAGE):
        assert not re.findall(rf"\b({METAPHORS})\b", text, re.IGNORECASE)


def loaded_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import assignment.data, assignment.results, assignment.checks, assignment.progress, assignment.seeds",
        "; ".join(
            f"import assignment.{'.'.join(p.with_suffix('').parts)}" for p in MODULES if p.parts[0] == "reporting"
        ),
        "from assignment.command_line import parser; parser()",
    ],
    ids=["the base", "reporting", "the command line"],
)
def test_nothing_light_waits_for_tensorflow(statement):
    assert "tensorflow" not in loaded_after(statement)
