"""Images in arrays, `.npy` and `.npz` files, and pictures; as they are, or as patches cut out of them."""

import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from assignment.checks import whole
from assignment.data.preprocessing import SPLITS, RawImages, check_images, sha256
from assignment.errors import UserError

# Of the images of one array or folder, one in so many is for testing; and so many training patches for one to test on.
_TEST_SHARE = 7
_TRAIN_PER_TEST = 6
_PATCHES = 60_000


def cut_or_whole(
    images: object, name: str, patch: tuple[int, int] | None, patches: int | None, transpose: bool, seed: int
) -> RawImages:
    """Images as they are, or patches cut out of them; arguments as in `load_images`.

    Raises:
      UserError: in one line, which file is refused and why.
    """
    if patch is None and patches is not None:
        raise UserError("patches is the number of patches to cut: give their size too, such as patch=(20, 24)")
    if patch is not None:
        if not isinstance(patch, (tuple, list)) or len(patch) != 2:
            raise TypeError(f"patch must be a pair (H, W) of integers, not {patch!r}")
        patch = tuple(whole(f"patch[{axis}]", length, least=2) for axis, length in enumerate(patch))
        patches = whole("patches", _PATCHES if patches is None else patches, least=1)
    stacks = _stacks(images, name, transpose)
    made_of = [(split, stack.digest()) for split, stack in stacks.items()], patch, patches

    def write(folder: Path) -> dict[str, np.ndarray]:
        arrays = {}
        for stream, (split, (stack, numbers)) in enumerate(_split(stacks, patch, seed).items()):
            if patch:
                count = patches if split == "train" else max(1, patches // _TRAIN_PER_TEST)
                pieces = _patches(stack, numbers, patch, count, np.random.default_rng([seed, stream + 1]))
            else:
                pieces = _whole_images(stack, numbers)
            arrays[split] = _write(folder / split, pieces)
        return arrays

    words = f", patches of {patch[0]}×{patch[1]} pixels" if patch else ""
    digest = hashlib.sha256(repr(made_of).encode()).hexdigest()
    return RawImages(name, f"the user's own images ({name}{words})", digest, write)


@dataclass(frozen=True, eq=False)
class _Stack:
    """Images of an array [N, H, W] or [N, H, W, 3] uint8, or of picture files; `name` is that of all."""

    images: np.ndarray | list[Path]
    name: str

    def size(self, number: int) -> tuple[int, int]:
        """(H, W)."""
        image = self.images[number]
        return _picture_size(image) if isinstance(image, Path) else image.shape[:2]

    def pixels(self, number: int) -> np.ndarray:
        """[H, W] uint8."""
        image = self.images[number]
        if isinstance(image, Path):
            return _read_picture(image)
        return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))

    def words(self, number: int) -> str:
        """Which image it is, and of which size."""
        height, width = self.size(number)
        place = f"image {number} of {self.name}" if isinstance(self.images, np.ndarray) else self.images[number]
        return f"{place} is {height}×{width} pixels"

    def digest(self) -> str:
        """SHA-256 of all pixels, or of all files."""
        if isinstance(self.images, np.ndarray):
            return f"{self.images.shape} {sha256(self.images)}"
        found = hashlib.sha256()
        for path in self.images:
            with _reading(path), open(path, "rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
        return found.hexdigest()


def _stacks(images: object, name: str, transpose: bool) -> dict[str, _Stack]:
    """{"train": …, "test": …} or {"all": …}."""
    if isinstance(images, (str, os.PathLike)):
        images, name = _from_path(Path(os.path.expanduser(images))), str(images)
    if not isinstance(images, Mapping):
        return {"all": _stack(images, name, transpose)}
    if set(SPLITS) <= set(images):
        return {split: _stack(images[split], f"{split} of {name}", transpose) for split in SPLITS}
    if len(images) != 1:
        raise UserError(f"{name} holds {', '.join(map(str, images)) or 'nothing'}; give one array, or train and test")
    return {"all": _stack(*images.values(), name, transpose)}


def _from_path(path: Path) -> object:
    """What a path holds, by content: an array, a list of picture files, or a dictionary of either."""
    if os.path.isdir(path):
        with _reading(path):
            folders = {folder.name.lower(): folder for folder in path.iterdir() if folder.is_dir()}
        if set(SPLITS) <= set(folders):
            return {split: _pictures_in(folders[split]) for split in SPLITS}
        return _pictures_in(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"{path} is neither a file nor a folder")
    with _reading(path), open(path, "rb") as file:
        start = file.read(6)
        if start == b"\x93NUMPY":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if not start.startswith(b"PK"):
            return [path]
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in (SPLITS if set(SPLITS) <= set(arrays) else arrays)}
    if any(isinstance(value, bytes) for value in found.values()):
        raise UserError(f"{path} is a zip archive of other things than arrays; unpack it, and name its folder")
    return found


def _pictures_in(folder: Path) -> list[Path]:
    """The files with the ending of a picture in a folder and the folders in it, hidden ones apart, ordered by name."""
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in endings and path.is_file()]
    found = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not found:
        raise UserError(f"{folder} holds no pictures (such as .png, .jpg, .tif)")
    return found


def _stack(value: object, where: str, transpose: bool) -> _Stack:
    if isinstance(value, list) and value and isinstance(value[0], Path):
        if transpose:
            raise UserError(f"{where} holds pictures; transpose is for arrays and IDX files")
        return _Stack(value, where)
    try:
        array = np.asanyarray(value)
    except ValueError as error:
        raise UserError(f"{where} is no array of images of one size ({error})") from error
    array = array[None] if array.ndim == 2 else array
    array = array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array
    check_images(array[..., 0] if array.ndim == 4 and array.shape[3] == 3 else array, where)
    return _Stack(array.swapaxes(1, 2) if transpose else array, where)


def _split(stacks: dict[str, _Stack], patch: tuple[int, int] | None, seed: int) -> dict[str, tuple]:
    """{split: (stack, the numbers of the images in it that belong to this split)}."""
    if len(stacks) == 2:
        return {split: (stack, range(len(stack.images))) for split, stack in stacks.items()}
    stack = stacks["all"]
    count = len(stack.images)
    if count == 1:
        return {split: (part, [0]) for split, part in _cut_in_two(stack, patch).items()}
    order = np.random.default_rng([seed, 0]).permutation(count)
    test = max(1, count // _TEST_SHARE)
    return {"train": (stack, np.sort(order[test:])), "test": (stack, np.sort(order[:test]))}


def _cut_in_two(stack: _Stack, patch: tuple[int, int] | None) -> dict[str, _Stack]:
    """Of one image, a part to train on and one to test on, along the axis that has room for more patches."""
    if not patch:
        raise UserError(
            f"{stack.words(0)}: of one image, cut patches with patch=(H, W), or --patch HxW, or give more images"
        )
    size = stack.size(0)
    axis = int(size[0] / patch[0] < size[1] / patch[1])
    train = size[axis] - max(patch[axis], size[axis] // _TEST_SHARE)
    if train < patch[axis] or size[1 - axis] < patch[1 - axis]:
        large = f"{patch[0]}×{patch[1]} to train on and others to test on"
        raise UserError(f"{stack.words(0)}: too small for patches of {large}")
    parts = np.split(stack.pixels(0)[None], [train], axis + 1)
    return {split: _Stack(part, stack.name) for split, part in zip(SPLITS, parts, strict=True)}


def _whole_images(stack: _Stack, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    size = stack.size(numbers[0])
    for place, number in enumerate(numbers):
        pixels = stack.pixels(number)
        if pixels.shape != size:
            both = f"{stack.words(number)}, {stack.words(numbers[0])}"
            raise UserError(f"{both}; give images of one size, or cut patches with patch=(H, W), or --patch HxW")
        yield place, pixels


def _patches(stack: _Stack, numbers: Sequence[int], patch: tuple, count: int, random) -> Iterator[tuple]:
    """(place, patch), cut where all corners are equally likely; each picture is read once, the places are shuffled."""
    height, width = patch
    room = np.array([stack.size(number) for number in numbers]) - patch + 1  # rows and columns where one can begin
    small = (room < 1).any(axis=1)
    if small.any():
        raise UserError(f"{stack.words(numbers[small.argmax()])}, smaller than a patch of {height}×{width}")
    corners = room.prod(axis=1)
    places = iter(random.permutation(count))
    for index, share in enumerate(random.multinomial(count, corners / corners.sum())):
        pixels = stack.pixels(numbers[index]) if share else None
        for corner in random.integers(corners[index], size=share):
            row, column = divmod(corner, room[index, 1])
            yield int(next(places)), pixels[row : row + height, column : column + width]


def _write(path: Path, pieces: Iterator[tuple[int, np.ndarray]]) -> np.ndarray:
    """Writes (place, image) in any order; returns the images [N, H, W] as a memory map."""
    with open(path, "wb") as file:
        for place, image in pieces:
            file.seek(place * image.size)
            file.write(image.tobytes())
    return np.memmap(path, np.uint8, "r").reshape(-1, *image.shape)


def _read_picture(path: Path) -> np.ndarray:
    with _reading(path), Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode == "F" or image.mode == "I" and not 0 <= image.getextrema()[0] <= image.getextrema()[1] < 2**16:
            raise UserError(f"{path} has pixels of 32 bits; 8 or 16 are needed")
        if image.mode.startswith("I"):
            return ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.asarray(image.convert("RGBA").convert("L"))


def _picture_size(path: Path) -> tuple[int, int]:
    """(H, W) as it is seen, from the head of the file."""
    with _reading(path), Image.open(path) as image:
        return image.size if image.getexif().get(0x0112, 1) >= 5 else image.size[::-1]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of large pictures, and of odd metadata
            yield
    except UserError:
        raise
    except Exception as error:  # whatever Pillow's and NumPy's readers raise at damaged files
        words = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"cannot read {path}: {words}") from error
