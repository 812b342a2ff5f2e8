"""The direction of imports, and what must stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "assignment"

# Who may import whom, lowest first. A module may import from its own layer and from those before it.
LAYERS = [
    ("errors",),
    ("checks",),
    ("data", "lattice"),
    ("batches", "checkpoint", "distribution", "whitening"),
    ("fit",),
    ("estimators",),
    ("derivation", "slips", "reporting", "progress", "benchmark"),
    ("parts",),
    ("command_line", "__main__", "__init__"),
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules():
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [node.module]
        yield from names


def layer_of(path):
    return path.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=str)
def test_imports_run_one_way(path):
    for name in imports(path):
        if name.startswith("assignment."):
            there = name.split(".")[1]
            assert LEVEL[there] <= LEVEL[layer_of(path)], f"{path} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=str)
def test_only_declared_packages_are_imported(path):
    declared = {"tensorflow", "tensorflow_probability", "tensorflow_datasets", "matplotlib"}
    theirs = {"keras", "numpy", "tqdm", "cycler", "google"}  # What these require themselves.
    allowed = declared | theirs | {"assignment", *sys.stdlib_module_names}
    assert {name.split(".")[0] for name in imports(path)} <= allowed


@pytest.mark.parametrize("path", [p for p in modules() if p.parts[0] == "lattice"], ids=str)
def test_the_lattice_knows_no_estimator(path):
    known = ("assignment.lattice", "assignment.checks")
    assert not [name for name in imports(path) if name.startswith("assignment.") and not name.startswith(known)]


def test_the_number_of_directions_is_data():
    """Nothing but the table of offsets tells the neighbourhoods apart; one sine form asks for the 4-connected one."""
    found = [
        (path, node.lineno)
        for path in modules()
        if path.parts[0] in ("lattice", "estimators")
        for node in ast.walk(ast.parse((PACKAGE / path).read_text()))
        if isinstance(node, ast.Compare) and "connectivity" in ast.unparse(node)
    ]
    assert len(found) <= 2, found


def loaded_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import assignment",
        "import assignment.data",
        "from assignment.reporting import figures, tables, terminal, results",
        "from assignment.command_line import parser; parser()",
    ],
)
def test_nothing_light_waits_for_tensorflow(statement):
    assert "tensorflow" not in loaded_after(statement)


def test_public_names():
    import assignment

    for name in assignment.__all__:
        assert getattr(assignment, name).__doc__
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = assignment.nothing_here
