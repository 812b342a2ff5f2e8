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
from grading.grader.rubric import judged, new_items
from grading.grader.submission import Submission
from grading.grader.supervisor import PROCESSES, Limits

HERE = Path(__file__).resolve().parent
GRADING = HERE.parent
PUBLIC, MOST_NUMBERS = ("model", "NCE", "log Z", "samples", "bonus 8"), 2000
README = """# Your solution

Write the functions of `adapters.py` (its text says what each takes and returns), try them with `pytest`, and hand in
the folder, or a zip of it. Functions may be missing; each costs its own points only.

- Arguments come by keyword.
- A call may take {call:.0f} s, `train` {train:.0f} s, importing adapters.py {imports:.0f} s, all {total:.0f} s;
  memory {memory:g} GiB, files {tmp} MiB in /tmp and as much in /dev/shm; at most {processes} processes;
  what you hand in {most} MiB and {files} files.
- `train` sees images of {sizes} pixels, other functions other sizes up to 28 × 28: build none of them in. It is asked
  again, for the same images with other signs and another contrast, where its fit is not near the best.
- There is no network, and nothing to read but your own folder, Python and these packages (requirements.txt):
  {packages}
- Seeds differ in every grading. The numbers in the tests here are not those that count.
"""


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
        self.solution = runpy.run_path(str(self.folder / "solution.py"))
        self.cases = []

    def call(self, name, **arguments):
        value = self.solution[name](**arguments)
        if sum(map(np.size, arguments.values())) < MOST_NUMBERS:
            values = value if isinstance(value, tuple) else [value]
            case = {"name": f"{len(self.cases)}: {self.title}", "function": name}
            case["arguments"] = {k: np.asarray(v).tolist() for k, v in arguments.items()}
            self.cases.append(case | {"expected": [np.asarray(v).tolist() for v in values]})
        return list(value) if isinstance(value, tuple) else value


def cases():
    """[{name, function, arguments, expected}]"""
    left_out = ("training", "learned", "refused")
    recorder = Recorder()
    judged(recorder, [i for i in new_items() if i.part in PUBLIC and not i.name.startswith(left_out)])
    return recorder.cases


def _installed(requirement):
    """The package and its version here; as it is asked for where it is not installed."""
    name = re.match(r"[\w-]+", requirement)[0]
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return requirement


def files():
    """{name: bytes}"""
    limits = Limits()
    requirements = (GRADING / "requirements.txt").read_text(encoding="utf-8")
    readme = README.format(
        call=limits.call_seconds,
        train=limits.train_seconds,
        imports=limits.import_seconds,
        total=limits.total_seconds,
        memory=limits.memory / 2**30,
        tmp=sandbox.TMPFS >> 20,
        processes=PROCESSES,
        most=sandbox.MOST_BYTES >> 20,
        files=sandbox.MOST_FILES,
        sizes=" and ".join(f"{h} × {w}" for h, w in problems.SHAPES.values()),
        packages=", ".join(map(_installed, (line for line in requirements.splitlines() if not line.startswith("#")))),
    )
    truth = 4.5, -1.2, -0.8
    matrix = reference.precision_matrix(truth[0], truth[1:], *problems.SHAPES["lattice"])
    images = reference.draw(matrix, 2000, problems.SHAPES["lattice"], np.random.default_rng(0))
    arrays = io.BytesIO()
    log_partition = reference.log_partition(matrix)
    np.savez(arrays, images=images.astype(np.float32), truth=truth, log_partition=log_partition)
    texts = {
        "README.md": readme,
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
