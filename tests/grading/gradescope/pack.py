"""Zips the autograder for Gradescope: `python tests/grading/gradescope/pack.py FILE.zip`."""

import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
AT_THE_TOP = ("setup.sh", "run_autograder")
SOLUTIONS = ("adapters.py", "dense_solution", "wrong", "gradescope")


def files():
    """(path, name in the archive): what grading needs, and no solution."""
    for name in AT_THE_TOP:
        yield HERE / name, name
    for name in ("requirements.txt", "pyproject.toml", "assignment/data/mnist_sample.npz"):
        yield ROOT / name, name
    grading = ROOT / "tests" / "grading"
    for path in sorted(grading.rglob("*.py")):
        if path.relative_to(grading).parts[0] not in SOLUTIONS:
            yield path, str(path.relative_to(ROOT))


def pack(target):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in files():
            info = zipfile.ZipInfo(name)  # one fixed date: the same files make the same archive
            info.external_attr = (0o100755 if name in AT_THE_TOP else 0o100644) << 16
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/grading/gradescope/pack.py FILE.zip")
    pack(sys.argv[1])
    print(f"wrote {sys.argv[1]}")
