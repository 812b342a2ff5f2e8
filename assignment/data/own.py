"""The user's own images: what may be given, and what they are called."""

import os
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np

from assignment.data import catalogue, idx
from assignment.data.pictures import cut_or_whole
from assignment.data.preprocessing import RawImages, raw_images
from assignment.errors import UserError
from assignment.progress import say


def own_images(
    name: str,
    seed: int,
    images: str | os.PathLike | np.ndarray | dict[str, np.ndarray] | None = None,
    patch: tuple[int, int] | None = None,
    patches: int | None = None,
    idx_dir: str | os.PathLike | None = None,
    transpose: bool = False,
) -> RawImages | None:
    """The user's own images, or the IDX files of a folder; None if neither is given. Arguments as in `load_images`.

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
        known = catalogue.in_order(name, given) if as_they_are else None
        if known:
            return raw_images(name, f"the IDX files of {name}, by SHA-256", known)
    raw = cut_or_whole(given, stem, patch, patches, transpose, seed)
    if name != catalogue.DEFAULT and not catalogue.is_name(name):
        if safe_name(name, "") != name:
            raise UserError(f"name {name!r} cannot be that of a folder; say {safe_name(name, raw.digest)!r}")
        return replace(raw, name=name)
    called = safe_name(stem, raw.digest)
    called = f"own-{called}" if catalogue.is_name(called) else called
    if name != catalogue.DEFAULT or idx_dir is not None:
        say(f"the images of {stem} are not known to be those of {name}; they are called {called!r}")
    return replace(raw, name=called)


def safe_name(text: str, digest: str) -> str:
    """Text as the name of a folder, of ASCII letters, digits, `_`, `-` and `.`; where none are left, of a digest."""
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:60].rstrip("-.") or f"images-{digest[:6]}"
