"""The direction of imports, what must stay light, and the form of what is public."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "assignment"

# Who may import whom, lowest first: a module imports from its own name here, and from the rows above.
LAYERS = [
    ("errors", "seeds", "progress"),
    ("checks",),
    ("data", "lattice", "results"),
    ("objectives",),
    ("derivation",),
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


def test_imports_run_one_way():
    for path in MODULES:
        here = layer_of(path.parts)
        for name in imports(path):
            first, *parts = name.split(".")
            if first == "assignment":
                there = layer_of(parts) if parts and layer_of(parts) in LEVEL else "__init__"
                assert there == here or LEVEL[there] < LEVEL[here], f"{path} imports {name}"


def test_no_module_imports_itself_by_way_of_others():
    """So each can be the first one imported."""
    names = {".".join(["assignment", *path.with_suffix("").parts]).removesuffix(".__init__"): path for path in MODULES}
    graph = {}
    for module, path in names.items():
        found = (name if name in names else name.rpartition(".")[0] for name in imports(path))
        graph[module] = names.keys() & found
    TopologicalSorter(graph).prepare()  # CycleError where there is a cycle


def test_only_declared_packages_are_imported():
    declared = {"tensorflow", "tensorflow_probability", "tensorflow_datasets", "matplotlib", "keras", "numpy", "tqdm"}
    theirs = {"cycler", "google", "PIL", "requests"}  # What these require themselves.
    allowed = declared | theirs | {"assignment", *sys.stdlib_module_names}
    assert not [(path, name) for path in MODULES for name in imports(path) if name.split(".")[0] not in allowed]


def test_every_file_is_short_enough_to_read():
    assert not [path for path in MODULES if len((PACKAGE / path).read_text().splitlines()) > 400]


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


def test_every_public_thing_says_what_it_is():
    for path, tree in MODULES.items():
        assert ast.get_docstring(tree) or not tree.body, path
        for node, owner in public(tree):
            # What a library calls it, the library describes; what overrides a method of ours, that one does.
            inherited = owner is not None and owner.bases
            assert node.name.startswith("_") or ast.get_docstring(node) or inherited, (path, node.name)


def test_every_public_signature_has_type_hints():
    for path, tree in MODULES.items():
        for node, owner in public(tree):
            if (
                isinstance(node, ast.ClassDef)
                or node.name.startswith("_")
                and node.name not in ("__init__", "__call__")
            ):
                continue
            a = node.args
            arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]
            assert all(argument.annotation for argument in arguments[owner is not None :]), (path, node.name)
            assert node.returns or node.name == "__init__", (path, node.name)


def test_what_is_referred_to_is_there_and_said_plainly():
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"[\w./-]+\.md\b", text):
            assert any((folder / name).is_file() for folder in (ROOT, path.parent)), (path, name)
        assert not re.findall(r"hand-?out", text, re.IGNORECASE), path
        assert not path.is_relative_to(PACKAGE) or not re.findall(rf"\b({METAPHORS})\b", text, re.IGNORECASE), path


REPORTING = [".".join(p.with_suffix("").parts) for p in MODULES if p.parts[0] == "reporting"]


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("data results checks progress seeds", {"tensorflow"}),
        ("reporting.tables reporting.macros", {"tensorflow", "matplotlib"}),
        (" ".join(REPORTING), {"tensorflow", "keras", "matplotlib.pyplot"}),
    ],
    ids=["the base", "tables", "reporting"],
)
def test_nothing_light_waits_for_what_it_does_not_need(modules, heavy):
    """The command line's own is test_bad_inputs'."""
    imports = ", ".join(f"assignment.{module}" for module in modules.split())
    code = f"import sys, {imports}; assert not {heavy} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
