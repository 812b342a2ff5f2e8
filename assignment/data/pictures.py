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

from assignment.data.preprocessing import SPLITS, RawImages, check_images, give_back, sha256
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
    stacks = _stacks(images, name, transpose)
    patch, train = patch and tuple(map(int, patch)), int(patches or _PATCHES)
    made_of = [(split, stack.digest()) for split, stack in stacks.items()], patch, patch and train
    digest = hashlib.sha256(repr(made_of).encode()).hexdigest()

    def write(folder: Path) -> dict[str, np.ndarray]:
        arrays, counts = {}, [train, max(1, train // _TRAIN_PER_TEST)]
        for stream, (split, (stack, numbers)) in enumerate(_split(stacks, patch, seed).items()):
            if patch:
                random = np.random.default_rng([int(seed), stream + 1])
                arrays[split] = _write_patches(folder / split, stack, numbers, patch, counts[stream], random)
            else:
                arrays[split] = _write_whole(folder / split, stack, numbers)
        return arrays

    words = f", patches of {patch[0]}×{patch[1]} pixels" if patch else ""
    return RawImages(name, f"the user's own images ({name}{words})", digest, write)


@dataclass(frozen=True, eq=False)
class _Stack:
    """Images of an array [N, H, W] or [N, H, W, 3] uint8, or of picture files; `name` is that of all."""

    images: np.ndarray | list[Path]
    name: str

    def __len__(self) -> int:
        return len(self.images)

    def sizes(self, numbers: Sequence[int]) -> np.ndarray:
        """(H, W) of the images of these numbers, [n, 2]."""
        if isinstance(self.images, np.ndarray):
            return np.tile(self.images.shape[1:3], (len(numbers), 1))
        return np.array([_picture_size(self.images[number]) for number in numbers])

    def pixels(self, number: int) -> np.ndarray:
        """[H, W] uint8."""
        if not isinstance(self.images, np.ndarray):
            return _read_picture(self.images[number])
        image = np.array(self.images[number])
        give_back(self.images)
        return image if image.ndim == 2 else _luminance(image)

    def words(self, number: int) -> str:
        """Which image it is, and of which size."""
        height, width = self.sizes([number])[0]
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
    Image.init()
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() in endings and path.is_file():
            found.append(path)
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
        return {split: (stack, range(len(stack))) for split, stack in stacks.items()}
    stack = stacks["all"]
    if len(stack) == 1:
        return {split: (part, [0]) for split, part in _cut_in_two(stack, patch).items()}
    order = np.random.default_rng([int(seed), 0]).permutation(len(stack))
    test = max(1, len(stack) // _TEST_SHARE)
    return {"train": (stack, np.sort(order[test:])), "test": (stack, np.sort(order[:test]))}


def _cut_in_two(stack: _Stack, patch: tuple[int, int] | None) -> dict[str, _Stack]:
    """Of one image, a part to train on and one to test on, along the axis that has room for more patches."""
    if not patch:
        raise UserError(f"{stack.words(0)}: of one image, cut patches with patch=(H, W), or give more images")
    size = stack.sizes([0])[0]
    axis = int(size[0] / patch[0] < size[1] / patch[1])
    train = size[axis] - max(patch[axis], size[axis] // _TEST_SHARE)
    if train < patch[axis] or size[1 - axis] < patch[1 - axis]:
        large = f"{patch[0]}×{patch[1]} to train on and others to test on"
        raise UserError(f"{stack.words(0)}: too small for patches of {large}")
    parts = np.split(stack.pixels(0)[None], [train], axis + 1)
    return {split: _Stack(part, stack.name) for split, part in zip(SPLITS, parts, strict=True)}


def _write_whole(path: Path, stack: _Stack, numbers: Sequence[int]) -> np.ndarray:
    sizes = stack.sizes(numbers)
    odd = (sizes != sizes[0]).any(axis=1)
    if odd.any():
        both = f"{stack.words(numbers[odd.argmax()])}, {stack.words(numbers[0])}"
        raise UserError(f"{both}; give images of one size, or cut patches with patch=(H, W)")
    with open(path, "wb") as file:
        for number in numbers:
            file.write(stack.pixels(number).tobytes())
    return np.memmap(path, np.uint8, "r", shape=(len(numbers), *map(int, sizes[0])))


def _write_patches(path: Path, stack: _Stack, numbers: Sequence[int], patch: tuple, count: int, random) -> np.ndarray:
    """Cuts at random places, all equally likely. Each picture is read once; its patches are spread over the file."""
    height, width = patch
    room = stack.sizes(numbers) - patch + 1  # the rows and the columns where a patch can begin
    small = (room < 1).any(axis=1)
    if small.any():
        raise UserError(f"{stack.words(numbers[small.argmax()])}, smaller than a patch of {height}×{width}")
    places = room.prod(axis=1)
    slots = iter(random.permutation(count))
    with open(path, "wb") as file:
        for index, share in enumerate(random.multinomial(count, places / places.sum())):
            pixels = stack.pixels(numbers[index]) if share else None
            for corner in random.integers(places[index], size=share):
                row, column = divmod(corner, room[index, 1])
                file.seek(int(next(slots)) * height * width)
                file.write(pixels[row : row + height, column : column + width].tobytes())
    return np.memmap(path, np.uint8, "r", shape=(count, height, width))


def _luminance(image: np.ndarray) -> np.ndarray:
    """[H, W] of [H, W, 3] (ITU-R 601), as Pillow rounds it."""
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((image @ weights + 0x8000) >> 16).astype(np.uint8)


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
