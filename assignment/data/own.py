"""The user's own images: what may be given, and what they are called."""

import os
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from assignment.checks import whole
from assignment.data import catalogue, idx
from assignment.data.pictures import cut_or_whole
from assignment.data.preprocessing import RawImages, raw_images
from assignment.errors import UserError
from assignment.progress import say


@dataclass(frozen=True, eq=False)
class Own:
    """What a user gives in the place of a data set's name; see `load_images`."""

    images: str | os.PathLike | np.ndarray | dict[str, np.ndarray] | None = None
    patch: tuple[int, int] | None = None
    patches: int | None = None
    idx_dir: str | os.PathLike | None = None
    transpose: bool = False

    def __post_init__(self) -> None:
        if any(isinstance(path, str) and not path for path in (self.images, self.idx_dir)):
            raise UserError("the path of the images is empty; name a file or a folder")
        if self.images is not None and self.idx_dir is not None:
            raise UserError("give images or idx_dir, not both")
        if not self.given and (self.patch is not None or self.patches is not None or self.transpose):
            raise UserError("patch, patches and transpose are for your own images; give images or idx_dir too")
        if self.patch is None and self.patches is not None:
            raise UserError("patches is the number of patches to cut: give their size too, such as patch=(20, 24)")
        if self.patch is not None:
            if not isinstance(self.patch, (tuple, list)) or len(self.patch) != 2:
                raise TypeError(f"patch must be a pair (H, W) of integers, not {self.patch!r}")
            for axis, length in enumerate(self.patch):
                whole(f"patch[{axis}]", length, least=2)
        if self.patches is not None:
            whole("patches", self.patches, least=1)

    @property
    def given(self) -> bool:
        """Is there anything in the place of a name?"""
        return self.images is not None or self.idx_dir is not None


def own_images(own: Own, name: str, seed: int) -> RawImages:
    """The user's own images, or the IDX files of a folder.

    They are called `name`, if that is free to choose or if they are the images of that set; else like their file or
    folder.
    """
    images, path, stem = own.images, own.images if own.idx_dir is None else own.idx_dir, "images"
    if isinstance(path, (str, os.PathLike)):
        path = os.path.expanduser(path)
        real = Path(os.path.realpath(path))
        stem = real.name if os.path.isdir(path) else real.stem
        stem = "".join(letter if letter.isprintable() else " " for letter in stem)
    if own.idx_dir is not None:
        images = idx.read_folder(path)
        known = None if own.patch or own.transpose else catalogue.in_order(name, images)
        if known:
            return raw_images(name, f"the IDX files of {name}, by SHA-256", known)
    raw = cut_or_whole(images, stem, own.patch, own.patches, own.transpose, seed)
    if name != catalogue.DEFAULT and not catalogue.is_name(name):
        if safe_name(name, "") != name:
            raise UserError(f"name {name!r} cannot be that of a folder; say {safe_name(name, raw.digest)!r}")
        return replace(raw, name=name)
    called = safe_name(stem, raw.digest)
    called = f"own-{called}" if catalogue.is_name(called) else called
    if name != catalogue.DEFAULT or own.idx_dir is not None:
        say(f"the images of {stem} are not known to be those of {name}; they are called {called!r}")
    return replace(raw, name=called)


def safe_name(text: str, digest: str) -> str:
    """Text as the name of a folder, of ASCII letters, digits, `_`, `-` and `.`; where none are left, of a digest."""
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:60].rstrip("-.") or f"images-{digest[:6]}"
