"""Zips what a student starts from: `python tests/grading/kit/make.py FILE.zip`. All is made from the grader's files."""

import ast
import io
import json
import re
import runpy
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import grading.items  # noqa: F401
from grading.grader import problems, reference, sandbox
from grading.grader.rubric import new_items
from grading.grader.submission import Submission
from grading.grader.supervisor import PROCESSES, Limits

HERE = Path(__file__).resolve().parent
GRADING = HERE.parent
PUBLIC, MOST_NUMBERS = ("model", "NCE", "log Z", "samples", "bonus 8"), 2000


def skeleton():
    """adapters.py with signatures and docstrings, and nothing of ours."""
    tree = ast.parse((GRADING / "adapters.py").read_text(encoding="utf-8"))
    parts = [f'"""{ast.get_docstring(tree)}\n"""', "import numpy as np"]
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
            function.body = [function.body[0], ast.parse(f"raise NotImplementedError({function.name!r})").body[0]]
            parts.append(ast.unparse(function))
    return "\n\n\n".join(parts) + "\n"


class Recorder(Submission):
    """What the grader's own items ask about small arrays, for a seed that is public, and the right answers."""

    def __init__(self):
        super().__init__(GRADING / "dense_solution", seed=0)
        self.solution = runpy.run_path(str(self.folder / "adapters.py"))
        self.cases = []

    def call(self, name, **arguments):
        value = self.solution[name](**arguments)
        values = list(value) if isinstance(value, tuple) else [value]
        if sum(map(np.size, arguments.values())) < MOST_NUMBERS:
            case = {"name": f"{len(self.cases)}: {self.title}", "function": name}
            case["arguments"] = {k: np.asarray(v).tolist() for k, v in arguments.items()}
            self.cases.append(case | {"expected": [np.asarray(v).tolist() for v in values]})
        return values if isinstance(value, tuple) else value


def cases():
    """[{name, function, arguments, expected}]"""
    recorder = Recorder()
    for item in new_items():
        if item.part in PUBLIC and not item.name.startswith(("training", "learned", "refused")):
            item.judge(recorder)
    return recorder.cases


def _installed(requirement):
    """The package and its version here; as it is asked for where it is not installed."""
    name = re.match(r"[\w-]+", requirement)[0]
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return requirement


def readme(requirements):
    limits, sizes = Limits(), " and ".join(f"{height} × {width}" for height, width in problems.SHAPES.values())
    packages = ", ".join(_installed(line) for line in requirements.splitlines() if not line.startswith("#"))
    return f"""# Your solution

Write the functions of `adapters.py` (its text says what each takes and returns), try them with `pytest`, and hand in
the folder, or a zip of it. Functions may be missing; each costs its own points only.

- Arguments come by keyword.
- A call may take {limits.call_seconds} s, `train` {limits.train_seconds} s, importing adapters.py
  {limits.import_seconds} s, all {limits.total_seconds} s; memory {limits.memory / 2**30:g} GiB,
  files {sandbox.TMPFS >> 20} MiB in /tmp and as much in /dev/shm; at most {PROCESSES} processes;
  what you hand in {sandbox.MOST_BYTES >> 20} MiB and {sandbox.MOST_FILES} files.
- `train` sees images of {sizes} pixels, other functions other sizes up to 28 × 28: build none of them in. It is asked
  again, for the same images with other signs and another contrast, where its fit is not near the best.
- There is no network, and nothing to read but your own folder, Python and these packages (requirements.txt):
  {packages}
- Seeds differ in every grading. The numbers in the tests here are not those that count.
"""


def files():
    """{name: bytes}"""
    requirements = (GRADING / "requirements.txt").read_text(encoding="utf-8")
    arrays, truth, shape = io.BytesIO(), (4.5, -1.2, -0.8), problems.SHAPES["lattice"]
    matrix = reference.precision_matrix(truth[0], truth[1:], *shape)
    images = reference.draw(matrix, 2000, shape, np.random.default_rng(0)).astype(np.float32)
    np.savez(arrays, images=images, truth=truth, log_partition=reference.log_partition(matrix))
    texts = {
        "README.md": readme(requirements),
        "adapters.py": skeleton(),
        "requirements.txt": requirements,
        "test_public.py": (HERE / "public_checks.py").read_text(encoding="utf-8"),
        "public_cases.json": json.dumps(cases(), ensure_ascii=False),
    }
    return {name: text.encode() for name, text in texts.items()} | {"public_images.npz": arrays.getvalue()}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/grading/kit/make.py FILE.zip")
    with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files().items():
            archive.writestr(name, content)
    print(f"wrote {sys.argv[1]}")
