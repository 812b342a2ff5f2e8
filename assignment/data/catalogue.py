"""Data sets that tensorflow-datasets knows and has prepared, or can prepare, in a data folder.

TensorFlow and tensorflow-datasets are imported where they are used: what needs no data set should not wait for them.
"""

import contextlib
import difflib
import io
import logging
import re
import sys
from pathlib import Path

import numpy as np

from assignment.data import network
from assignment.data.network import Unavailable
from assignment.data.raw import RawImages
from assignment.data.store import publish, unwritable, workshop
from assignment.errors import UserError

_ORIGIN_FILE = "origin.txt"
_BATCH = 1000


def check(name, data_dir, others=()):
    """Raises UserError unless `name` is a data set of tensorflow-datasets that fits this package.

    Args:
      name: `set` or `set/configuration`.
      data_dir: the data folder.
      others: further names worth suggesting, should this one be unknown.
    """
    import tensorflow_datasets as tfds

    base, slash, config = name.partition("/")
    known = tfds.list_builders(with_community_datasets=False)
    if base not in known:
        raise UserError(f"unknown data set {name!r}{_suggestion(base, [*others, *known])}")
    try:
        configs = tfds.builder_cls(base).builder_configs
        if slash and config not in configs:
            raise UserError(f"data set {base!r} has no configuration {config!r}{_suggestion(config, list(configs))}")
        _image_key(_builder(name, data_dir))
    except ImportError as error:
        raise UserError(f"data set {base!r} needs a package that is not installed ({_reason(error)})") from error


def is_prepared(name, data_dir):
    """Is there a prepared `name`, whole or damaged, in the data folder?"""
    return Path(_builder(name, data_dir).data_dir).exists()


def read(name, data_dir):
    """Reads both splits of a prepared data set, in the order of the stock `tfds.load`.

    Returns:
      RawImages; its source is what `prepare_arrays` or `download` noted when the set was prepared.

    Raises:
      UserError: the prepared files are damaged, or the set lacks a split.
    """
    builder = _builder(name, data_dir)
    folder = Path(builder.data_dir)
    if not (folder / "dataset_info.json").exists():
        raise _damaged(folder, "dataset_info.json is missing")
    key = _image_key(builder)
    for split in ("train", "test"):
        if split not in builder.info.splits:
            raise UserError(f"data set {name!r} has no {split} split, only {', '.join(builder.info.splits)}")
    train, test = (_read_split(builder, key, split, folder) for split in ("train", "test"))
    source = f"{name} {builder.version} of tensorflow-datasets, {_origin(folder)}"
    return RawImages(name, train, test, source, str(folder))


def prepare_arrays(name, data_dir, splits, origin):
    """Prepares a data set from arrays, so that the stock `tfds.load(name, data_dir=…, download=False)` reads it.

    Does nothing if the set is there already.

    Args:
      name: a data set of tensorflow-datasets whose features are one image and one label.
      data_dir: the data folder.
      splits: {split: (images [N, H, W] uint8, labels [N] uint8)}.
      origin: where the bytes came from, in words.

    Raises:
      UserError: the arrays do not fit the data set, or the folder cannot be written to.
    """
    _check_fit(_builder(name, data_dir), splits)
    count = sum(len(images) for images, _ in splits.values())
    try:
        _prepare(name, data_dir, _array_builder(name, splits), origin, f"preparing {count:,} images of {name} (once) …")
    except Unavailable as error:  # with the arrays at hand only writing can fail
        raise unwritable(data_dir, error) from error


def download(name, data_dir):
    """Has tensorflow-datasets download and prepare a data set, if a network answers.

    Raises:
      Unavailable: no network, or the download failed.
      UserError: the folder cannot be written to.
    """
    address = download_address(name)
    network.require(address)
    _prepare(name, data_dir, _builder, f"downloaded from {address}", f"downloading and preparing {name} (once) …")


def download_address(name):
    """The first address from which tensorflow-datasets would download `name`."""
    import tensorflow_datasets as tfds

    addresses = tfds.builder_cls(name.partition("/")[0]).url_infos
    if not addresses:
        raise Unavailable("tensorflow-datasets names no address to download it from")
    return next(iter(addresses))


def _builder(name, data_dir):
    import tensorflow_datasets as tfds

    base, _, config = name.partition("/")
    with _reading(Path(data_dir, name)), _quiet():
        return tfds.builder_cls(base)(data_dir=data_dir, config=config or None)


def _array_builder(name, splits):
    """Like `_builder`, with the arrays in the place of a download.

    The class bears the name of the stock one, so that it prepares the stock folder, and stays out of the registry.
    """
    import tensorflow_datasets as tfds

    base, _, config = name.partition("/")
    stock = tfds.builder_cls(base)

    def split_generators(self, download_manager):
        return {split: self._generate_examples(*arrays) for split, arrays in splits.items()}

    def generate_examples(self, images, labels):
        # The key of an example decides its place in the shuffled set: its number, as in the stock builder.
        examples = zip(_encoded(images), labels.tolist(), strict=True)
        return enumerate({"image": io.BytesIO(png), "label": label} for png, label in examples)

    methods = {"_split_generators": split_generators, "_generate_examples": generate_examples}
    with tfds.core.registered.skip_registration():
        builder_class = type(stock.__name__, (stock,), {"__module__": stock.__module__, **methods})
    return lambda _, data_dir: builder_class(data_dir=data_dir, config=config or None)


def _encoded(images):
    """The images as PNG bytes. Preparing takes half as long with many to a call as with one."""
    import tensorflow as tf

    for start in range(0, len(images), _BATCH):
        yield from tf.io.encode_png(images[start : start + _BATCH, :, :, None]).numpy()


def _prepare(name, data_dir, make_builder, origin, message):
    """Prepares in a workshop with `make_builder(name, data_dir)`, and moves the whole into the data folder."""
    import tensorflow_datasets as tfds

    with workshop(data_dir) as bench:
        if is_prepared(name, data_dir):  # by another process, in the meantime
            return
        network.say(message)
        builder = make_builder(name, bench)
        tfds.display_progress_bar(sys.stderr.isatty())
        with _quiet(), _preparing():
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        folder = Path(builder.data_dir)
        (folder / _ORIGIN_FILE).write_text(f"{origin}\n", encoding="utf-8")
        publish(folder, bench, data_dir)


def _read_split(builder, key, split, folder):
    import tensorflow_datasets as tfds

    with _reading(folder), _quiet():
        batch = builder.as_dataset(
            split=split,
            batch_size=-1,
            decoders=tfds.decode.PartialDecoding({key: True}),
            # Small images are decoded faster than they are handed over: 32 at once halve the time on 2 cores.
            read_config=tfds.ReadConfig(try_autocache=False, num_parallel_calls_for_decode=32),
        )
        images = tfds.as_numpy(batch)[key]
    count = builder.info.splits[split].num_examples
    if len(images) != count:
        raise _damaged(folder, f"{len(images):,} of {count:,} {split} images are there")
    return images.reshape(images.shape[:-1])


def _origin(folder):
    with _reading(folder):
        path = folder / _ORIGIN_FILE
        return path.read_text(encoding="utf-8").strip() if path.exists() else "prepared beforehand"


def _image_key(builder):
    """The name of the feature that holds the images, `image` if there are several."""
    import tensorflow_datasets as tfds

    def fits(feature):
        shape = feature.shape if isinstance(feature, tfds.features.Image) else ()
        return len(shape) == 3 and shape[2] == 1 and None not in shape and feature.np_dtype == np.uint8

    keys = [key for key, feature in dict(builder.info.features).items() if fits(feature)]
    if not keys:
        raise UserError(
            f"data set {builder.name!r} does not hold single-channel 8-bit images of one size; "
            "take one that does, such as mnist, fashion_mnist or kmnist"
        )
    return "image" if "image" in keys else keys[0]


def _check_fit(builder, splits):
    """Raises UserError unless the arrays are what the data set's features foresee."""
    features = builder.info.features
    height, width, _ = features[_image_key(builder)].shape
    if set(features) != {"image", "label"}:
        raise UserError(f"data set {builder.name!r} cannot come from IDX files: it is more than images and labels")
    for split, (images, labels) in splits.items():
        if images.shape[1:] != (height, width):
            raise UserError(
                f"the {split} images are {images.shape[1]}×{images.shape[2]} pixels, those of {builder.name} "
                f"{height}×{width}: give the IDX files of {builder.name}"
            )
        if labels.max() >= features["label"].num_classes:
            raise UserError(
                f"the {split} labels go up to {labels.max()}, those of {builder.name} to "
                f"{features['label'].num_classes - 1}: give the IDX files of {builder.name}"
            )


@contextlib.contextmanager
def _quiet():
    """Keeps to itself what tensorflow-datasets prints and logs; errors reach the user as exceptions."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _preparing():
    """Tells a data folder that cannot be written to (OSError, as it is) from a source that fails (Unavailable)."""
    try:
        yield
    except Exception as error:  # whatever a download or a data set's own code may raise
        if isinstance(error, OSError) and error.errno:
            raise
        raise Unavailable(_reason(error)) from error


@contextlib.contextmanager
def _reading(folder):
    """Turns what TensorFlow and tensorflow-datasets raise at damaged files into a UserError."""
    import tensorflow as tf
    from google.protobuf import json_format

    try:
        yield
    except (tf.errors.OpError, json_format.Error, OSError, LookupError, ValueError, TypeError) as error:
        raise _damaged(folder, _reason(error)) from error


def _damaged(folder, reason):
    return UserError(f"the prepared data in {folder} is damaged ({reason}); delete that folder and run again")


def _reason(error):
    """The first line of an error, without TensorFlow's names of graph nodes."""
    lines = re.sub(r"\{\{.*?\}\} *|\[Op:.*", "", str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200].strip()}" if lines else type(error).__name__


def _suggestion(word, known):
    nearest = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else "; the catalogue of tensorflow-datasets lists the names"
