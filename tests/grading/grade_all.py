"""Grades a class: one line of a CSV file for each submission, written as it is graded. Started again, it goes on.

    python tests/grading/grade_all.py SUBMISSIONS grades.csv [--jobs 2] [--regrade NAME]

SUBMISSIONS is a folder (or a zip) of folders and zips, as Canvas and Moodle export them. Each submission's rubric and
results.json are kept in a folder beside the CSV file, `grades/` for `grades.csv`. Further arguments go to pytest.
"""

import argparse
import csv
import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grading.grader import archives, sandbox
from grading.grader.names import for_a_cell, for_a_file, shown
from grading.grader.rubric import BONUS, PARTS

GRADING = Path(__file__).resolve().parent
TOTAL = f"total/{sum(PARTS.values()) - PARTS[BONUS]}"
COLUMNS = ["submission", TOTAL, *(f"{part}/{points}" for part, points in PARTS.items())]
COLUMNS += ["seed", "seconds", "status", "notes", "teacher"]  # the last is the teacher's own, and kept
SECONDS = 800  # no grading takes as long; one that does is ended
ONE = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
say = functools.partial(print, flush=True)


def main():
    sys.stdout.reconfigure(errors="backslashreplace")  # whatever the terminal can take
    parser = argparse.ArgumentParser(description="Grade every submission in a folder into one CSV file.")
    parser.add_argument("submissions", help="folder or zip of submissions: make grade-all SUBMISSIONS=students")
    parser.add_argument("csv", type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--regrade", action="append", default=[], help="a name in the table, to be graded again")
    options, for_pytest = parser.parse_known_args()
    if not options.submissions:
        parser.error("which submissions? make grade-all SUBMISSIONS=folder-of-folders-or-zips [JOBS=2] [REGRADE=name]")
    if not os.path.isdir(options.submissions) and not archives.is_zip(options.submissions):
        parser.error(f"there is no folder or zip {shown(options.submissions)}")
    if sandbox.kind() == "none" and "--no-sandbox" not in for_pytest:
        parser.error(sandbox.NOTHING_HOLDS)
    details = options.csv.with_suffix("")
    details.mkdir(parents=True, exist_ok=True)
    try:
        table = read(options.csv)
    except ValueError as error:
        parser.error(str(error))
    again = {for_a_cell(name) for name in options.regrade}
    graded = {name for name, row in table.items() if row["status"] == "graded"} - again
    with tempfile.TemporaryDirectory(prefix="grade-all-") as scratch:
        os.chmod(scratch, 0o711)  # `nobody` must get to its room
        found = archives.submissions(Path(options.submissions), Path(scratch), say)
        if unknown := again - {for_a_cell(name) for name, _ in found}:
            parser.error(f"--regrade: there is no submission {', '.join(map(shown, sorted(unknown)))}")
        save(options.csv, table)
        todo = [(name, path) for name, path in found if for_a_cell(name) not in graded]
        jobs = max(1, options.jobs)
        numbers = iter(range(jobs))
        with ThreadPoolExecutor(jobs, initializer=lambda: keep_to_a_share(next(numbers), jobs)) as pool:
            running = [pool.submit(grade, name, path, details, Path(scratch), for_pytest) for name, path in todo]
            try:
                for number, future in enumerate(as_completed(running), len(found) - len(todo) + 1):
                    row = future.result()
                    row["teacher"] = table.get(row["submission"], {}).get("teacher", "")
                    table[row["submission"]] = row
                    save(options.csv, table)
                    say(f"[{number}/{len(found)}] {row['submission']}: {row[TOTAL]} ({row['status']})")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in psutil.Process().children():
                    process.kill()
                raise


def keep_to_a_share(job, jobs):
    """Gives this thread, and what it starts, processors of its own, so that no submission slows down another."""
    with suppress(AttributeError):  # not on Linux
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, processors[job::jobs] or processors)


def read(path):
    """{name: line} of the table so far, as we or a spreadsheet saved it; ValueError where it is none."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
        file.seek(0)
        reader = csv.DictReader(file, restval=None, delimiter=";" if header.startswith("submission;") else ",")
        rows = [row for row in reader if None not in row.values()]  # not a line that was cut off
    if header and not {"submission", "status", "teacher"} <= set(reader.fieldnames):
        raise ValueError(f"{shown(str(path))} is no table of grades: move it away, or name another file")
    return {row["submission"]: row for row in rows}


def save(path, table):
    """Writes the table whole or not at all."""
    temporary = path.with_name(f".{path.name}-new")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table.values())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def grade(name, source, details, scratch, for_pytest):
    """One row, whatever becomes of the submission or of its grading."""
    row = dict.fromkeys(COLUMNS, 0)
    row |= {"submission": for_a_cell(name), "seed": "", "notes": "", "status": "grader failed"}
    try:
        results, rubric = ((details / (for_a_file(name) + end)).resolve() for end in (".json", ".txt"))
        results.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=scratch) as room:
            os.chmod(room, 0o711)
            printed = run(archives.located(source, Path(room)), name, results, room, for_pytest)
        lines = [line for line in printed.splitlines(keepends=True) if not line.startswith("NOTE for the teacher")]
        rubric.write_text("".join(lines), encoding="utf-8")
        return row | row_of(results)
    except Exception as error:  # one submission's trouble is one line, and the class goes on
        return row | {"notes": for_a_cell(shown(str(error))[:300])}


def run(folder, name, results, room, for_pytest):
    """What pytest printed; results.json tells how far it came."""
    command = [sys.executable, "-m", "pytest", str(GRADING), "-p", "no:cacheprovider", f"--submission={folder}"]
    command += [f"--name={name}", f"--results-json={results}", *for_pytest]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "timeout": SECONDS}
    options["cwd"] = GRADING.parents[1]  # never a submission's folder, whose modules would then be imported
    options["env"] = os.environ | dict.fromkeys(ONE, "1") | {"TMPDIR": str(room)}
    try:
        printed = subprocess.run(command, **options, start_new_session=True, preexec_fn=_die_with_parent).stdout
    except subprocess.TimeoutExpired as ended:
        printed = ended.stdout or b""
    return printed.decode("utf-8", "replace")


def _die_with_parent():
    with suppress(AttributeError):  # not on Linux
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def row_of(results):
    content = json.loads(results.read_text(encoding="utf-8"))
    extra = content["extra_data"]
    row = {"status": extra["status"], "seed": extra["seed"], "seconds": content["execution_time"]}
    for part, points in PARTS.items():
        scores = [t["score"] for t in content["tests"] if t["name"].startswith(f"{part}: ")]
        row[f"{part}/{points}"] = round(sum(scores), 2)
    row[TOTAL] = round(content["score"] - row[f"{BONUS}/{PARTS[BONUS]}"], 2)
    return row | {"notes": for_a_cell(" ".join(extra["notes"]))}


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; started again, it goes on after the last line")
