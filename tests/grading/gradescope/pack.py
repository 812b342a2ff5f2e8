"""Zips the autograder for Gradescope: `python tests/grading/gradescope/pack.py FILE.zip [after_due_date]`."""

import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from grading.grader.rubric import VISIBILITIES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
AT_THE_TOP = ("setup.sh", "run_autograder")
LEFT_OUT = ("adapters.py", "dense_solution", "wrong.py", "gradescope", "kit", "grade_all.py")


def files():
    """(path, name in the archive): what grading needs, and no solution."""
    for name in AT_THE_TOP:
        yield HERE / name, name
    for name in ("pyproject.toml", "tests/grading/requirements.txt", "assignment/data/mnist_sample.npz"):
        yield ROOT / name, name
    grading = ROOT / "tests" / "grading"
    for path in sorted(grading.rglob("*.py")):
        if path.relative_to(grading).parts[0] not in LEFT_OUT:
            yield path, path.relative_to(ROOT).as_posix()


def pack(target, visibility="visible"):
    """Writes the archive; its texts end their lines as Linux does, wherever it is packed."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in files():
            info = zipfile.ZipInfo(name)  # one fixed date: the same files make the same archive
            info.external_attr = (0o100755 if name in AT_THE_TOP else 0o100644) << 16
            content = path.read_bytes()
            if not name.endswith(".npz"):
                content = content.replace(b"\r\n", b"\n")
            if name == "run_autograder":
                content = content.replace(b"VISIBILITY=visible", b"VISIBILITY=" + visibility.encode())
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[2:] and sys.argv[2] not in VISIBILITIES:
        sys.exit(f"usage: python tests/grading/gradescope/pack.py FILE.zip [{'|'.join(VISIBILITIES)}]")
    pack(*sys.argv[1:])
    print(f"wrote {sys.argv[1]}")
