"""Preprocessed splits on disk: made once, checked each time, made again when anything about them is not right.

They stand in the data folder under `preprocessed/<name>/std<noise_std>-seed<seed>/`: `train.float32`, `test.float32`
and `mean.float32`, bare float32 values of this machine row by row, and `facts.json`.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from assignment.data import idx
from assignment.data.network import say
from assignment.data.preprocessing import Mean, check_noise, noise_seeds, noisy
from assignment.data.raw import SPLITS, chunk_length, sha256
from assignment.data.sources import SAMPLE, check_name, idx_places, locate
from assignment.data.store import ReadOnly, data_folder, publish, workshop
from assignment.data.stream import ImageStream
from assignment.errors import UserError

_LAYOUT = 1  # Of these files: those of another one are made again.
_FACTS = "facts.json"
_MEAN = "mean.float32"


class _Unusable(Exception):
    """Preprocessed images that are not there, or not as they should be; the message says why."""


def open_splits(name="mnist", noise_std=0.1, seed=0, *, data_dir=None, idx_dir=None):
    """Both splits, preprocessed, on disk: (training ImageStream, test ImageStream).

    The first call prepares the data set (see `prepare`) and writes the preprocessed images, four bytes a pixel, into
    the data folder: 220 MB for MNIST, and as much again for every other seed. A later call finds them there, and
    checks them and what they were made from by SHA-256, at about 1 GB a second and without TensorFlow. Where one may
    not write to the data folder, they are written to a temporary place, and vanish with the process.
    Nothing but preparing the data set (see `prepare`) takes more memory the more images there are.

    Args, Raises: as `load_images`, whose images these are, bit for bit.
    """
    check_noise(noise_std, seed)
    check_name(name, idx_dir)
    noise = {"noise_std": float(noise_std), "seed": int(seed)}
    found = _find(name, noise, data_folder(data_dir), idx_dir) if name != SAMPLE else None
    return found or _find_or_make(locate(name, data_dir, idx_dir), noise)


def _find(name, noise, data_dir, idx_dir):
    """The splits, if they are there and good, found without the seconds that tensorflow-datasets takes; else None."""
    idx_sha256 = idx_dir and idx.read_folder(idx_dir)[1]
    for place in idx_places(data_dir, idx_sha256) if idx_dir else [data_dir]:
        with contextlib.suppress(_Unusable):
            return _open(place, name, noise, idx_sha256=idx_sha256)
    return None


def _find_or_make(raw, noise):
    """The splits of RawImages, from its data folder if one may write there."""
    with contextlib.suppress(_Unusable):
        return _open(raw.data_dir, raw.name, noise, source=raw.source)
    try:
        return _make(raw, noise)
    except ReadOnly as reason:
        say(f"{reason}; until then the preprocessed images go to {tempfile.gettempdir()}, and with this process")
        with tempfile.TemporaryDirectory() as elsewhere:  # The open files outlive it.
            return _make(dataclasses.replace(raw, data_dir=Path(elsewhere)), noise)


def _make(raw, noise):
    """The splits of RawImages, made in its data folder unless another process has done it in the meantime."""
    folder = _folder(raw.data_dir, raw.name, noise)
    with workshop(raw.data_dir) as bench:
        try:
            return _open(raw.data_dir, raw.name, noise, source=raw.source)
        except _Unusable as reason:
            if folder.exists():
                say(f"making the preprocessed images in {folder} again: {reason}")
        made = _folder(bench, raw.name, noise)
        _write(made, raw, noise, announced=folder)
        publish(made, bench, raw.data_dir)
        return _open(raw.data_dir, raw.name, noise, source=raw.source)


def _open(data_dir, name, noise, *, source=None, idx_sha256=None):
    """The splits in a data folder; _Unusable unless they are whole, and what would be made now."""
    try:
        folder = _folder(data_dir, name, noise)
        facts = _read_facts(folder / _FACTS)
        _require(facts["made"] == _made(name, noise), "they were made in another way")
        _require(idx_sha256 in (None, facts["idx_sha256"]), "they are of other IDX files")
        raw_sha256 = _sha256_of_files(data_dir / facts["raw_files"])
        _require(raw_sha256 == facts["raw_sha256"], "the data that they were made from has changed")
        mean = (folder / _MEAN).read_bytes()
        _require(hashlib.sha256(mean).hexdigest() == facts["mean_sha256"], f"{_MEAN} is damaged")
        mean = np.frombuffer(mean, np.float32).reshape(facts["size"]).copy()
        return tuple(_open_split(folder, split, facts, mean, source) for split in SPLITS)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _Unusable(f"{type(error).__name__}: {error}") from error


def _open_split(folder, split, facts, mean, source):
    path = _flat_file(folder, split)
    _require(path.is_file(), f"{path.name} is missing")
    stream = ImageStream(
        path,
        name=facts["made"]["name"],
        source=source or facts["source"],
        sha256=facts[split]["raw_sha256"],
        mean=mean,
        count=facts[split]["count"],
    )
    _require(stream.matches(facts[split]["sha256"]), f"{path.name} is damaged")
    return stream


def _write(folder, raw, noise, announced):
    """Writes the files of RawImages in the new folder `folder`; the user is told of `announced`."""
    megabytes = 4 * sum(raw.counts.values()) * raw.size[0] * raw.size[1] / 1e6
    say(f"writing the preprocessed images of {raw.name} (once, {megabytes:,.0f} MB) to {announced} …")
    folder.mkdir(parents=True)
    raw_files = raw.files.relative_to(raw.data_dir) if raw.files.is_relative_to(raw.data_dir) else raw.files.absolute()
    facts = {
        "made": _made(raw.name, noise),
        "source": raw.source,
        "size": list(raw.size),
        "raw_files": str(raw_files),
        "raw_sha256": _sha256_of_files(raw.files),
        "idx_sha256": raw.idx_sha256,
    }
    mean = Mean(raw.size)
    for split, seed in zip(SPLITS, noise_seeds(noise["seed"]), strict=True):
        digest = hashlib.sha256()
        chunks = noisy(_hashed(raw.chunks(split), digest), noise["noise_std"], seed)
        _write_chunks(_flat_file(folder, split), mean.watch(chunks) if split == "train" else chunks)
        facts[split] = {"count": raw.counts[split], "raw_sha256": digest.hexdigest()}
    for split in SPLITS:
        facts[split]["sha256"] = _subtract(_flat_file(folder, split), mean.value)
    (folder / _MEAN).write_bytes(mean.value)
    _write_facts(folder / _FACTS, facts | {"mean_sha256": sha256(mean.value)})


def _write_chunks(path, chunks):
    with open(path, "wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _subtract(path, mean):
    """Subtracts the mean image from the images of a file; returns the SHA-256 of the file."""
    digest = hashlib.sha256()
    with open(path, "r+b") as file:
        while data := file.read(chunk_length(mean.shape) * mean.nbytes):
            chunk = np.frombuffer(data, np.float32).reshape(-1, *mean.shape) - mean
            digest.update(chunk)
            file.seek(-len(data), os.SEEK_CUR)
            file.write(chunk)
    return digest.hexdigest()


def _hashed(chunks, digest):
    for chunk in chunks:
        digest.update(np.ascontiguousarray(chunk))
        yield chunk


def _made(name, noise):
    """All that decides the files beside what they are made from."""
    versions = {package: importlib.metadata.version(package) for package in ("numpy", "tensorflow-datasets")}
    return {"layout": _LAYOUT, "name": name} | noise | versions


def _folder(data_dir, name, noise):
    return data_dir / "preprocessed" / name / f"std{noise['noise_std']}-seed{noise['seed']}"


def _flat_file(folder, split):
    return folder / f"{split}.float32"


def _write_facts(path, facts):
    path.write_text(json.dumps({"sha256": _sha256_of_facts(facts), "facts": facts}, indent=1), encoding="utf-8")


def _read_facts(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    _require(content["sha256"] == _sha256_of_facts(content["facts"]), f"{path.name} is damaged")
    return content["facts"]


def _sha256_of_facts(facts):
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _sha256_of_files(path):
    """SHA-256 of a file, or of the names and bytes of all files in a folder; UserError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            digest.update(file.name.encode())
            with open(file, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    return digest.hexdigest()


def _require(condition, fault):
    if not condition:
        raise _Unusable(fault)
