"""Submissions as learning platforms export them: folders and zips, one in the other, with the rubbish of desktops."""

import os
import zipfile
from pathlib import Path

from grading.grader.names import shown
from grading.grader.sandbox import DEEPEST, MOST_BYTES, MOST_FILES

_RUBBISH = ("__MACOSX", "Thumbs.db", "desktop.ini")
_DEPTH = 4


def is_zip(path):
    return str(path).lower().endswith(".zip") and os.path.isfile(path)


def submissions(source, scratch, say):
    """[(name, folder or zip)] of a class, in order; what is neither is told by `say`."""
    zipped = is_zip(source)
    entries = _entries(extracted(source, scratch / "class", most=100) if zipped else source)
    if zipped and len(entries) == 1 and entries[0].is_dir() and not Path(entries[0], "adapters.py").exists():
        entries = _entries(entries[0])  # an export that packs everything in one folder
    found = {}
    for entry in entries:
        name = shown(entry.name)
        if entry.is_dir():
            found[name] = Path(entry.path)
        elif is_zip(entry.path):
            stem = shown(os.path.splitext(entry.name)[0])
            found[stem if stem not in found else name] = Path(entry.path)
        else:
            say(f"passed over, as neither folder nor zip: {name}")
    return list(found.items())


def located(source, scratch):
    """The folder that holds adapters.py, in a folder or zip or a zip in a folder; the folder itself if none does."""
    folder = extracted(source, scratch / "submission") if is_zip(source) else source
    packed = [path for path in _within(folder) if is_zip(path)]
    return home(folder) or packed and home(extracted(packed[0], scratch / "packed")) or folder


def home(folder):
    """The folder that holds adapters.py (or this package's tests/grading/adapters.py), at most some levels down."""
    if (folder / "adapters.py").exists() or (folder / "tests" / "grading" / "adapters.py").exists():
        return folder
    for path in _within(folder):
        if path.name == "adapters.py":
            return path.parents[2] if path.parts[-3:-1] == ("tests", "grading") else path.parent
    return None


def _within(folder):
    """All files, the shallowest first; no links, which may lead to another's."""
    level = [folder]
    for _ in range(_DEPTH):
        entries = [entry for path in level for entry in _entries(path)]
        yield from (Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False))
        level = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]


def _entries(folder):
    found = [entry for entry in os.scandir(folder) if not _rubbish(entry.name)]
    return sorted(found, key=lambda entry: os.fsencode(entry.name))


def _rubbish(name):
    return name.startswith(".") or name in _RUBBISH


def extracted(path, target, most=1):
    """Unzips into `target`, within limits (`most` times those of one submission); links become plain files."""
    with zipfile.ZipFile(path) as zipped:
        members = [m for m in zipped.infolist() if not any(_rubbish(part) for part in m.filename.split("/"))]
        deepest = max((m.filename.count("/") for m in members), default=0)
        size, limit = sum(m.file_size for m in members), most * MOST_BYTES
        if size > limit or len(members) > most * MOST_FILES or deepest > DEEPEST:
            raise ValueError(f"{shown(path.name)} holds more than {limit >> 20} MiB, or is too many or deep")
        target.mkdir()
        for member in members:
            zipped.extract(member, target)
    return target
