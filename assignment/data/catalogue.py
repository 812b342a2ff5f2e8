"""Data sets that tensorflow-datasets knows and has prepared, or can prepare, in a data folder.

TensorFlow and tensorflow-datasets are imported where they are used: what needs no data set should not wait for them.
"""

import io
import sys
from pathlib import Path

import numpy as np

from assignment.data import guards, network
from assignment.data.network import Unavailable
from assignment.data.raw import SPLITS, RawImages, chunk_length
from assignment.data.store import publish, unwritable, workshop
from assignment.errors import UserError, did_you_mean

_ORIGIN_FILE = "origin.txt"
_IDX_FILE = "idx.sha256"
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
        raise UserError(f"data set {base!r} needs a package that is not installed ({guards.reason(error)})") from error


def is_prepared(name, data_dir):
    """Is there a prepared `name`, whole or damaged, in the data folder?"""
    return Path(_builder(name, data_dir).data_dir).exists()


def read(name, data_dir):
    """A prepared data set, whose images come in the order of the stock `tfds.load`, as long as they are asked for.

    Returns:
      RawImages; its source is what `prepare_idx` or `download` noted when the set was prepared.

    Raises:
      UserError: the set is no longer described by its files, or lacks a split.
    """
    builder = _builder(name, data_dir)
    folder = Path(builder.data_dir)
    if not (folder / "dataset_info.json").exists():
        raise guards.damaged(folder, "dataset_info.json is missing")
    key = _image_key(builder)
    for split in SPLITS:
        if split not in builder.info.splits:
            raise UserError(f"data set {name!r} has no {split} split, only {', '.join(builder.info.splits)}")
    origin = _note(folder, _ORIGIN_FILE) or "prepared beforehand"
    return RawImages(
        name=name,
        counts={split: builder.info.splits[split].num_examples for split in SPLITS},
        size=builder.info.features[key].shape[:2],
        source=f"{name} {builder.version} of tensorflow-datasets, {origin}",
        data_dir=Path(data_dir),
        files=folder,
        read=lambda split: _chunks(builder, key, split, folder),
        idx_sha256=_note(folder, _IDX_FILE),
    )


def prepare_idx(name, data_dir, splits, sha256, origin):
    """Prepares a data set from IDX files, so that the stock `tfds.load(name, data_dir=…, download=False)` reads it.

    Does nothing if the set is there already. The images stream from file to file, but tensorflow-datasets shuffles
    them in between, and holds up to 1 GB of them (as PNG) while it does.

    Args:
      name: a data set of tensorflow-datasets whose features are one image and one label.
      data_dir: the data folder.
      splits, sha256: as from `idx.read_folder`.
      origin: where the bytes came from, in words.

    Raises:
      UserError: the images do not fit the data set, or the folder cannot be written to.
    """
    _check_fit(_builder(name, data_dir), splits)
    count = sum(len(split.labels) for split in splits.values())
    notes = {_ORIGIN_FILE: origin, _IDX_FILE: sha256}
    try:
        _prepare(name, data_dir, _idx_builder(name, splits), notes, f"preparing {count:,} images of {name} (once) …")
    except Unavailable as error:  # with the files at hand only writing can fail
        raise unwritable(data_dir, error) from error


def download(name, data_dir):
    """Has tensorflow-datasets download and prepare a data set, if a network answers.

    Raises:
      Unavailable: no network, or the download failed.
      UserError: the folder cannot be written to.
    """
    address = download_address(name)
    network.require(address)
    notes = {_ORIGIN_FILE: f"downloaded from {address}"}
    _prepare(name, data_dir, _builder, notes, f"downloading and preparing {name} (once) …")


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
    with guards.reading(Path(data_dir, name)), guards.quiet():
        return tfds.builder_cls(base)(data_dir=data_dir, config=config or None)


def _idx_builder(name, splits):
    """Like `_builder`, with IDX files in the place of a download.

    The class bears the name of the stock one, so that it prepares the stock folder, and stays out of the registry.
    """
    import tensorflow_datasets as tfds

    base, _, config = name.partition("/")
    stock = tfds.builder_cls(base)

    def split_generators(self, download_manager):
        return {name: self._generate_examples(split) for name, split in splits.items()}

    def generate_examples(self, split):
        # The key of an example decides its place in the shuffled set: its number, as in the stock builder.
        examples = zip(_encoded(split.images), split.labels.tolist(), strict=True)
        return enumerate({"image": io.BytesIO(png), "label": label} for png, label in examples)

    methods = {"_split_generators": split_generators, "_generate_examples": generate_examples}
    with tfds.core.registered.skip_registration():
        builder_class = type(stock.__name__, (stock,), {"__module__": stock.__module__, **methods})
    return lambda _, data_dir: builder_class(data_dir=data_dir, config=config or None)


def _encoded(images):
    """The images of an IdxFile as PNG bytes. Preparing takes half as long with many to a call as with one."""
    import tensorflow as tf

    for chunk in images.chunks():
        for start in range(0, len(chunk), _BATCH):
            yield from tf.io.encode_png(chunk[start : start + _BATCH, :, :, None]).numpy()


def _prepare(name, data_dir, make_builder, notes, message):
    """Prepares in a workshop with `make_builder(name, data_dir)`, and moves the whole into the data folder.

    Args:
      notes: {name of a file to leave with the data: a line of text}.
    """
    import tensorflow_datasets as tfds

    with workshop(data_dir) as bench:
        if is_prepared(name, data_dir):  # by another process, in the meantime
            return
        network.say(message)
        builder = make_builder(name, bench)
        tfds.display_progress_bar(sys.stderr.isatty())
        with guards.quiet(), guards.preparing():
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        folder = Path(builder.data_dir)
        for file, line in notes.items():
            (folder / file).write_text(f"{line}\n", encoding="utf-8")
        publish(folder, bench, data_dir)


def _chunks(builder, key, split, folder):
    """The images of a split in order, in arrays [≤ m, H, W] uint8."""
    import tensorflow_datasets as tfds

    with guards.reading(folder), guards.quiet():
        images = builder.as_dataset(
            split=split,
            decoders=tfds.decode.PartialDecoding({key: True}),
            # Small images are decoded faster than they are handed over: 32 at once halve the time on 2 cores.
            read_config=tfds.ReadConfig(try_autocache=False, num_parallel_calls_for_decode=32),
        )
        size, expected = builder.info.features[key].shape[:2], builder.info.splits[split].num_examples
        chunks = iter(images.batch(chunk_length(size)).as_numpy_iterator())
    count = 0
    while True:
        with guards.reading(folder), guards.quiet():  # Not while another's code runs.
            chunk = next(chunks, None)
        if chunk is None:
            break
        count += len(chunk[key])
        yield chunk[key][..., 0]
    if count != expected:
        raise guards.damaged(folder, f"{count:,} of {expected:,} {split} images are there")


def _note(folder, name):
    """The line of a note left with the data; None where there is none."""
    with guards.reading(folder):
        path = folder / name
        return path.read_text(encoding="utf-8").strip() if path.exists() else None


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
    """Raises UserError unless the images and labels are what the data set's features foresee."""
    features = builder.info.features
    height, width, _ = features[_image_key(builder)].shape
    if set(features) != {"image", "label"}:
        raise UserError(f"data set {builder.name!r} cannot come from IDX files: it is more than images and labels")
    for name, split in splits.items():
        if split.size != (height, width):
            raise UserError(
                f"the {name} images are {split.size[0]}×{split.size[1]} pixels, those of {builder.name} "
                f"{height}×{width}: give the IDX files of {builder.name}"
            )
        if split.labels.max() >= features["label"].num_classes:
            raise UserError(
                f"the {name} labels go up to {split.labels.max()}, those of {builder.name} to "
                f"{features['label'].num_classes - 1}: give the IDX files of {builder.name}"
            )


def _suggestion(word, known):
    return did_you_mean(word, known) or "; the catalogue of tensorflow-datasets lists the names"
