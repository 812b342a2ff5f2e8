"""Grades a class: one line of a CSV file for each folder, written as it is graded. Started again, it goes on.

    python tests/grading/grade_all.py SUBMISSIONS grades.csv

Each submission's rubric and results.json are kept in a folder beside the CSV file, `grades/` for `grades.csv`.
Further arguments go to pytest.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from grader.rubric import BONUS, PARTS

GRADING = Path(__file__).resolve().parent
COLUMNS = ("submission", "total", "bonus", *(part for part in PARTS if part != BONUS), "seconds", "status")
SECONDS = 300  # no grading takes as long; one that does is ended


def main():
    parser = argparse.ArgumentParser(description="Grade every folder in SUBMISSIONS into one CSV file.")
    parser.add_argument("submissions", type=Path)
    parser.add_argument("csv", type=Path)
    options, for_pytest = parser.parse_known_args()
    if not options.submissions.is_dir():
        parser.error(f"there is no folder {options.submissions}")
    details = options.csv.with_suffix("")
    details.mkdir(parents=True, exist_ok=True)
    graded = resume(options.csv)
    folders = sorted(p for p in options.submissions.iterdir() if p.is_dir() and not p.name.startswith("."))
    for number, folder in enumerate(folders, 1):
        if folder.name not in graded:
            row = grade(folder, details, for_pytest)
            append(options.csv, row)
            print(f"[{number}/{len(folders)}] {folder.name}: {row['total']} ({row['status']})", flush=True)


def resume(path):
    """The names graded so far; a line cut off by an interruption is taken out of the file."""
    rows = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS) and row[-1] == "graded"]
    temporary = path.with_name(f".{path.name}-new")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    os.replace(temporary, path)
    return {row[0] for row in rows}


def append(path, row):
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, COLUMNS).writerow(row)
        file.flush()
        os.fsync(file.fileno())


def grade(folder, details, for_pytest):
    """One row: what results.json says, whatever became of the grader."""
    results = (details / f"{folder.name}.json").resolve()
    results.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", str(GRADING), "-p", "no:cacheprovider"]
    command += [f"--submission={folder.resolve()}", f"--results-json={results}", *for_pytest]
    with (details / f"{folder.name}.txt").open("wb") as rubric:
        try:
            code = subprocess.run(
                command,
                cwd=GRADING.parents[1],  # never a submission's folder, whose modules would then be imported
                stdin=subprocess.DEVNULL,
                stdout=rubric,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    return row_of(folder.name, results, code)


def row_of(name, results, code):
    """pytest exits with 0 when no point was lost, with 1 when some were, and else did not come to its end."""
    row = dict.fromkeys(COLUMNS, 0) | {"submission": name, "status": "graded" if code in (0, 1) else "grader failed"}
    if results.exists():
        content = json.loads(results.read_text(encoding="utf-8"))
        for part in PARTS:
            scores = [t["score"] for t in content["tests"] if t["name"].startswith(f"{part}: ")]
            row["bonus" if part == BONUS else part] = round(sum(scores), 2)
        row["total"] = round(content["score"] - row["bonus"], 2)
        row["seconds"] = content["execution_time"]
    return row


if __name__ == "__main__":
    main()
