"""Preprocessed images, of a data set or the user's own: made once, kept in the data folder, read as memory maps."""

import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from assignment.data import idx
from assignment.data.catalogue import DEFAULT, SAMPLE, from_catalogue, in_order, is_name
from assignment.data.pictures import cut_or_whole
from assignment.data.preprocessing import SPLITS, check_noise, check_splits, mean_image, noisy, raw_images, sha256
from assignment.data.store import data_folder, kept, write_npy
from assignment.errors import UserError, did_you_mean
from assignment.progress import say

_LAYOUT = 3  # One more whenever what is written changes: older folders are then not taken for it.


@dataclass(frozen=True, eq=False)
class Images:
    """One preprocessed split.

    Attributes:
      images: [N, H, W] float32, the noisy pixels minus `mean`; a read-only memory map.
      mean: [H, W] float32, the mean of the noisy training images, in units of the pixel range [0, 1].
      source: where the bytes came from, in words.
      name: the data set, as a folder of results may be called; `mnist_sample` after falling back on it.
      sha256: of the 8-bit images of this split, as they were before preprocessing.
      fallback: is this the bundled sample in the place of the data set that was asked for?
    """

    images: np.ndarray
    mean: np.ndarray
    source: str
    name: str
    sha256: str
    fallback: bool = False


def load_images(
    name: str = "mnist",
    split: str = "train",
    noise_std: float = 0.1,
    seed: int = 0,
    *,
    images: str | os.PathLike | np.ndarray | dict[str, np.ndarray] | None = None,
    patch: tuple[int, int] | None = None,
    patches: int | None = None,
    data_dir: str | os.PathLike | None = None,
    idx_dir: str | os.PathLike | None = None,
    transpose: bool = False,
) -> Images:
    """One split, preprocessed: pixels in [0, 1], plus noise, minus the mean image of the noisy training split.

    The first call with these arguments writes both splits to the data folder, four bytes a pixel. Later calls find
    them there, and check them by SHA-256.

    Args:
      name: a data set of tensorflow-datasets with single-channel 8-bit images of one size, or `mnist_sample`. With
        `images` or `idx_dir`, what to call the images; by default like their file or folder.
      split: "train" or "test".
      noise_std: standard deviation of the noise, in units of the pixel range [0, 1].
      seed: non-negative integer that decides the noise, and what is drawn at random of `images`.
      images: own 8-bit images: an array [N, H, W], [N, H, W, 1] or [N, H, W, 3] (colour becomes luminance); a
        dictionary of two, `train` and `test`; a `.npy` or `.npz` of such; a picture; a folder of pictures. Of what has
        no `train` and `test` a seventh of the images, drawn by the seed, is for testing.
      patch: (H, W) of the patches to cut from the images at random places. Those to test on come from images of which
        no training patch is cut, or of a single image from its last seventh, where no training patch reaches.
      patches: the number of training patches, 60,000 by default; a sixth as many are cut to test on.
      data_dir: data folder; by default the environment variable ASSIGNMENT_DATA_DIR, or else `data`.
      idx_dir: folder with IDX files, gzipped or not. They are called `name` only if they are the images of that set.
      transpose: exchange rows and columns, as the IDX files of EMNIST need it.

    Raises:
      ValueError: an argument is out of range. UserError, which is one: no usable data is found, or images are refused.
      TypeError: an argument is of a wrong type.
    """
    if split not in SPLITS:
        raise UserError(f"split must be 'train' or 'test', not {split!r}{did_you_mean(split, SPLITS)}")
    options = dict(images=images, patch=patch, patches=patches, data_dir=data_dir, idx_dir=idx_dir, transpose=transpose)
    return load_splits(name, noise_std, seed, **options)[SPLITS.index(split)]


def load_splits(
    name: str = "mnist",
    noise_std: float = 0.1,
    seed: int = 0,
    *,
    data_dir: str | os.PathLike | None = None,
    **own: object,
) -> tuple[Images, Images]:
    """Both splits, preprocessed: (training Images, test Images). Arguments and errors as in `load_images`."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r}")
    check_noise(noise_std, seed)
    noise_std, seed = float(noise_std), int(seed)
    folder = data_folder(data_dir)
    raw = _own_images(name, seed, **own) or from_catalogue(name, folder)
    made = hashlib.sha256(repr([_LAYOUT, raw.digest, np.__version__]).encode()).hexdigest()
    key = f"preprocessed/{raw.name}/std{noise_std}-seed{seed}-{made[:16]}"
    arrays, facts = kept(folder, key, partial(_write, raw, folder / key, noise_std, seed))
    mean, fallback = np.array(arrays["mean"]), raw.name == SAMPLE != name
    return tuple(Images(arrays[split], mean, raw.source, raw.name, facts[split], fallback) for split in SPLITS)


def _write(raw, place, noise_std, seed, folder):
    """Writes mean.npy, train.npy and test.npy to `folder`; returns the SHA-256 of the 8-bit images of each split."""
    scratch = folder.parent / "raw"
    scratch.mkdir()
    arrays = raw.open(scratch)
    check_splits(arrays)
    megabytes = 4 * sum(array.size for array in arrays.values()) / 1e6
    say(f"writing the preprocessed images of {raw.name} (once, {megabytes:,.0f} MB) to {place} …")
    mean = mean_image(arrays["train"], noise_std, seed)
    np.save(folder / "mean.npy", mean)
    for split in SPLITS:
        chunks = (chunk - mean for chunk in noisy(arrays[split], split, noise_std, seed))
        write_npy(folder / f"{split}.npy", arrays[split].shape, np.float32, chunks)
    return {split: sha256(arrays[split]) for split in SPLITS}


def _own_images(name, seed, images=None, patch=None, patches=None, idx_dir=None, transpose=False):
    """The user's own images, or the IDX files of a folder, as RawImages; None if neither is given.

    They are called `name`, if that is free to choose or if they are the images of that set; else like their file or
    folder.
    """
    given = idx_dir if images is None else images
    if isinstance(given, str) and not given:
        raise UserError("the path of the images is empty; name a file or a folder")
    if images is not None and idx_dir is not None:
        raise UserError("give images or idx_dir, not both")
    if given is None:
        if patch is not None or patches is not None or transpose:
            raise UserError("patch, patches and transpose are for your own images; give images or idx_dir too")
        return None
    stem = "images"
    if isinstance(given, (str, os.PathLike)):
        real = Path(os.path.realpath(os.path.expanduser(given)))
        stem = real.name if os.path.isdir(real) else real.stem
        stem = "".join(letter if letter.isprintable() else " " for letter in stem)
    if idx_dir is not None:
        given = idx.read_folder(idx_dir)
        as_they_are = patch is None and patches is None and not transpose
        known = in_order(name, given) if as_they_are else None
        if known:
            return raw_images(name, f"the IDX files of {name}, by SHA-256", known)
    raw = cut_or_whole(given, stem, patch, patches, transpose, seed)
    if name != DEFAULT and not is_name(name):
        if safe_name(name, "") != name:
            raise UserError(f"name {name!r} cannot be that of a folder; say {safe_name(name, raw.digest)!r}")
        return replace(raw, name=name)
    called = safe_name(stem, raw.digest)
    called = f"own-{called}" if is_name(called) else called
    if name != DEFAULT or idx_dir is not None:
        say(f"the images of {stem} are not known to be those of {name}; they are called {called!r}")
    return replace(raw, name=called)


def safe_name(text: str, digest: str) -> str:
    """Text as the name of a folder, of ASCII letters, digits, `_`, `-` and `.`; where none are left, of a digest."""
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:60].rstrip("-.") or f"images-{digest[:6]}"
