"""The user's own images: arrays, `.npy` and `.npz` files, pictures; as they are, or as patches cut out of them."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from assignment.checks import whole
from assignment.data.raw import SPLITS, RawImages, check_images, chunk_length, give_back, sha256
from assignment.data.store import arrays_in, write_npy, write_npy_header
from assignment.errors import UserError

PATCHES = 60_000

# Of the images of one array or folder, one in so many is for testing; and so many training patches for one to test on.
_TEST_SHARE = 7
_TRAIN_PER_TEST = 6


@dataclass(frozen=True, eq=False)
class Own:
    """What a user gives in the place of a data set's name; see `load_images`."""

    images: str | os.PathLike | np.ndarray | dict[str, np.ndarray] | None = None
    patch: tuple[int, int] | None = None
    patches: int | None = None
    idx_dir: str | os.PathLike | None = None
    transpose: bool = False

    def __post_init__(self) -> None:
        if "" in (self.idx_dir, self.images if isinstance(self.images, str) else None):
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
            whole("patches", self.counts[0], least=1)

    @property
    def given(self) -> bool:
        """Is there anything in the place of a name?"""
        return self.images is not None or self.idx_dir is not None

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of training and of test patches."""
        train = PATCHES if self.patches is None else self.patches
        return train, max(1, train // _TRAIN_PER_TEST)


def own_images(own: Own, images: object, name: str, seed: int) -> RawImages:
    """Images as they are or cut into patches; `images` is `own.images`, or what the IDX files hold.

    Raises:
      UserError: in one line, which file is refused and why.
    """
    stacks = _stacks(images, name, own.transpose)
    facts = [(split, _digest(stack)) for split, stack in stacks.items()]
    cut = own.patch and (*map(int, own.patch), *map(int, own.counts))
    digest = hashlib.sha256(repr([facts, cut, bool(own.transpose), int(seed)]).encode()).hexdigest()

    def write(folder: Path) -> dict[str, np.ndarray]:
        for stream, (split, (stack, chosen)) in zip((1, 2), _split(stacks, own.patch, name, seed).items(), strict=True):
            path, random = folder / f"{split}.npy", np.random.default_rng([int(seed), stream])
            if own.patch:
                parts = [_part(stack, number, name) for number in chosen]
                _write_patches(path, parts, tuple(own.patch), own.counts[stream - 1], random)
            else:
                _write_whole(path, stack, chosen, name)
        return arrays_in(folder)

    words = f", patches of {own.patch[0]}×{own.patch[1]} pixels" if own.patch else ""
    return RawImages(name, f"the user's own images ({name}{words})", digest, write)


class _Part(NamedTuple):
    """A picture: where it stands in words, (H, W), and what reads its pixels [H, W] uint8."""

    place: str
    size: tuple[int, int]
    pixels: Callable[[], np.ndarray]

    def __str__(self) -> str:
        return f"{self.place} is {self.size[0]}×{self.size[1]} pixels"


def _part(stack: np.ndarray | list[Path], number: int, name: str) -> _Part:
    if isinstance(stack, np.ndarray):
        return _Part(f"image {number} of {name}", stack.shape[1:3], lambda: _grey(stack[[number]])[0])
    return _Part(str(stack[number]), _picture_size(stack[number]), lambda: _read_picture(stack[number]))


def _stacks(images: object, name: str, transpose: bool) -> dict[str, np.ndarray | list[Path]]:
    """{"train": …, "test": …} or {"all": …}, each an array [N, H, W] or [N, H, W, 3] uint8, or paths of pictures."""
    if isinstance(images, (str, os.PathLike)):
        found, name = _from_path(Path(images).expanduser()), str(images)
    else:
        found = dict(images) if isinstance(images, Mapping) else {"all": images}
    if set(SPLITS) <= set(found):
        return {split: _stack(found[split], f"{split} of {name}", transpose) for split in SPLITS}
    if len(found) != 1:
        raise UserError(f"{name} holds {', '.join(map(str, found)) or 'nothing'}; give one array, or train and test")
    return {"all": _stack(next(iter(found.values())), name, transpose)}


def _from_path(path: Path) -> dict[str, object]:
    """What a path holds, by content: {name: array or paths of pictures}."""
    if path.is_dir():
        folders = [path / split for split in SPLITS]
        together = all(folder.is_dir() for folder in folders)
        return {folder.name: _pictures_in(folder) for folder in folders} if together else {"all": _pictures_in(path)}
    with _reading(path):
        with open(path, "rb") as file:
            start = file.read(6)
        if start == b"\x93NUMPY":
            return {"all": np.load(path, mmap_mode="r", allow_pickle=False)}
        if not zipfile.is_zipfile(path):
            return {"all": [path]}
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in (SPLITS if set(SPLITS) <= set(arrays) else arrays)}


def _pictures_in(folder: Path) -> list[Path]:
    """The files with the ending of a picture in a folder and the folders in it, in the order of their names."""
    from PIL import Image

    Image.init()
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in endings and path.is_file())
    if not found:
        raise UserError(f"{folder} holds no pictures (such as .png, .jpg, .tif)")
    return found


def _stack(value: object, where: str, transpose: bool) -> np.ndarray | list[Path]:
    if isinstance(value, list) and value and isinstance(value[0], Path):
        if transpose:
            raise UserError(f"{where} holds pictures; transpose is for arrays and IDX files")
        return value
    try:
        array = np.asanyarray(value)
    except ValueError as error:
        raise UserError(f"{where} is no array of images of one size ({error})") from error
    array = array[None] if array.ndim == 2 else array
    array = array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array
    check_images(array[..., 0] if array.ndim == 4 and array.shape[3] == 3 else array, where, least=2)
    return array.swapaxes(1, 2) if transpose else array


def _digest(stack: np.ndarray | list[Path]) -> str:
    """SHA-256 of all pixels, or of all files."""
    if isinstance(stack, np.ndarray):
        return f"{stack.shape} {sha256(stack)}"
    found = hashlib.sha256()
    for path in stack:
        with _reading(path), open(path, "rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def _split(stacks: dict, patch: tuple[int, int] | None, name: str, seed: int) -> dict[str, tuple]:
    """{split: (stack, the numbers of its pictures that belong to this split)}."""
    if len(stacks) == 2:
        return {split: (stacks[split], np.arange(len(stacks[split]))) for split in SPLITS}
    stack = stacks["all"]
    if len(stack) == 1:
        return {split: (half, [0]) for split, half in _cut_in_two(_part(stack, 0, name), patch).items()}
    order = np.random.default_rng([int(seed), 0]).permutation(len(stack))
    test = max(1, len(stack) // _TEST_SHARE)
    return {"train": (stack, np.sort(order[test:])), "test": (stack, np.sort(order[:test]))}


def _cut_in_two(part: _Part, patch: tuple[int, int] | None) -> dict[str, np.ndarray]:
    """A part to train on and one to test on, side by side along the axis that has room for more patches."""
    if not patch:
        raise UserError(f"{part}: of one image, cut patches with patch=(H, W), or give more images")
    axis = int(part.size[0] / patch[0] < part.size[1] / patch[1])
    train = part.size[axis] - max(patch[axis], part.size[axis] // _TEST_SHARE)
    if train < patch[axis] or part.size[1 - axis] < patch[1 - axis]:
        raise UserError(f"{part}: too small for patches of {patch[0]}×{patch[1]} to train on and others to test on")
    return dict(zip(SPLITS, np.split(part.pixels()[None], [train], axis + 1), strict=True))


def _write_whole(path: Path, stack: np.ndarray | list[Path], chosen: np.ndarray, name: str) -> None:
    first = _part(stack, chosen[0], name)
    if isinstance(stack, np.ndarray):
        pieces = _pieces(stack, chosen)
    else:
        parts = [_part(stack, number, name) for number in chosen]
        for part in parts:
            if part.size != first.size:
                raise UserError(f"{part}, {first}; give images of one size, or cut patches with patch=(H, W)")
        pieces = (part.pixels() for part in parts)
    write_npy(path, (len(chosen), *first.size), np.uint8, pieces)


def _pieces(stack: np.ndarray, chosen: np.ndarray) -> Iterator[np.ndarray]:
    length = chunk_length(stack.shape[1:])
    for start in range(0, len(chosen), length):
        yield _grey(stack[chosen[start : start + length]])
        give_back(stack)


def _write_patches(path: Path, parts: list[_Part], patch: tuple[int, int], count: int, random) -> None:
    """Cuts at random places, all equally likely. Each picture is read once; its patches are spread over the file."""
    for part in parts:
        if part.size[0] < patch[0] or part.size[1] < patch[1]:
            raise UserError(f"{part}, smaller than a patch of {patch[0]}×{patch[1]}")
    places = np.array([(part.size[0] - patch[0] + 1) * (part.size[1] - patch[1] + 1) for part in parts])
    slots = iter(random.permutation(count))
    with open(path, "wb") as file:
        write_npy_header(file, (count, *patch), np.uint8)
        start = file.tell()
        for part, own, number in zip(parts, places, random.multinomial(count, places / places.sum()), strict=True):
            windows = sliding_window_view(part.pixels(), patch) if number else None
            corners = random.integers(own, size=number)
            for first in range(0, number, chunk_length(patch)):
                rows, columns = np.divmod(corners[first : first + chunk_length(patch)], windows.shape[1])
                for cut, slot in zip(windows[rows, columns], slots, strict=False):
                    file.seek(start + int(slot) * cut.size)
                    file.write(cut.tobytes())


def _grey(pictures: np.ndarray) -> np.ndarray:
    """[N, H, W] of [N, H, W] or [N, H, W, 3], the luminance (ITU-R 601) as Pillow rounds it."""
    weights = np.array([19595, 38470, 7471], np.uint32)
    return pictures if pictures.ndim == 3 else ((pictures @ weights + 0x8000) >> 16).astype(np.uint8)


def _read_picture(path: Path) -> np.ndarray:
    from PIL import ImageOps

    with _picture(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode == "F" or image.mode == "I" and not 0 <= image.getextrema()[0] <= image.getextrema()[1] < 2**16:
            raise UserError(f"{path} has pixels of 32 bits; 8 or 16 are needed")
        if image.mode.startswith("I"):
            return ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGBA").convert("L"))


def _picture_size(path: Path) -> tuple[int, int]:
    """(H, W) as it is seen, from the head of the file."""
    with _picture(path) as image:
        return image.size if image.getexif().get(0x0112, 1) >= 5 else image.size[::-1]


@contextmanager
def _picture(path: Path) -> Iterator:
    from PIL import Image

    with _reading(path), Image.open(path) as image:
        yield image


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # whatever Pillow's and NumPy's readers raise at damaged files
        words = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"cannot read {path}: {words}") from error
