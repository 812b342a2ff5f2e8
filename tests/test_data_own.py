"""The user's own images: the same bits from every source, patches, names, and all that can be wrong with them."""

import gzip
import io
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from data_files import COUNTS, FILE_NAMES, contents, idx_bytes, sha256, small_images, write_idx
from PIL import Image

from assignment.data import load_images, load_splits, preprocess
from assignment.data.sources import safe_name
from assignment.errors import UserError

IMAGES = small_images()
ALL = np.concatenate([IMAGES["train"], IMAGES["test"]])


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSIGNMENT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ASSIGNMENT_OFFLINE", "1")
    return tmp_path / "data"


def write_pictures(folder, images, ending=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03}{ending}")
    return folder


# The same bits from every source.


def _npz(folder):
    np.savez_compressed(folder / "x.npz", train=IMAGES["train"], test=IMAGES["test"], labels=np.arange(3))
    return {"images": folder / "x.npz"}


def _npz_with_channel(folder):
    np.savez(folder / "x.npz", **{split: images[..., None] for split, images in IMAGES.items()})
    return {"images": str(folder / "x.npz")}


def _grey_as_colour(folder):
    return {"images": {split: np.repeat(images[..., None], 3, axis=3) for split, images in IMAGES.items()}}


def _transposed(folder):
    return {"images": {split: images.swapaxes(1, 2) for split, images in IMAGES.items()}, "transpose": True}


def _folder_of_folders(folder):
    for split, images in IMAGES.items():
        write_pictures(folder / "pictures" / split, images)
    (folder / "pictures" / "train" / "notes.txt").write_text("no picture")
    return {"images": folder / "pictures"}


def _idx(change=None, **options):
    def write(folder):
        write_idx(folder / "idx", **options)
        if change:
            change(folder / "idx")
        return {"idx_dir": folder / "idx"}

    return write


def _rename(new_name):
    def change(folder):
        for name in FILE_NAMES.values():
            for path in list(folder.glob(f"{name}*")):
                path.rename(folder / new_name(path.name))

    return change


def _into_folders(folder):
    for name in FILE_NAMES.values():
        (folder / name).rename(folder / "x")
        (folder / name).mkdir()
        (folder / "x").rename(folder / name / name)


def _as_torchvision(folder):
    write_idx(folder / "MNIST" / "raw")
    write_idx(folder / "MNIST" / "raw", gzipped=True)
    for path in folder.glob("*ubyte"):
        path.unlink()


def _wrong_endings(folder):
    for name in FILE_NAMES.values():
        path = folder / name
        (folder / f"{name}.gz").write_bytes(path.read_bytes())
        path.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink() if name.startswith("t10k") else (folder / f"{name}.gz").unlink()


def _without_labels(folder):
    for path in folder.glob("*labels*"):
        path.rename(folder / f"._{path.name.replace('labels', 'images')}")  # as macOS leaves hidden files


def _labels_of_any_kind(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(b"no labels")
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(7).astype(">i4"), code=0x0C))


def _as_emnist(name):
    return f"emnist-digits-{name.replace('t10k', 'test')}"


SOURCES = {
    "arrays": lambda folder: {"images": IMAGES},
    "npz": _npz,
    "npz with a channel": _npz_with_channel,
    "grey as colour": _grey_as_colour,
    "transposed": _transposed,
    "folders of PNG": _folder_of_folders,
    "IDX": _idx(),
    "IDX, gzipped": _idx(gzipped=True),
    "IDX, wrong endings": _idx(_wrong_endings),
    "IDX, with dots": _idx(_rename(lambda name: name.replace("-idx3", ".idx3"))),
    "IDX, EMNIST": _idx(_rename(_as_emnist), gzipped=True),
    "IDX, plain names": _idx(_rename(lambda name: "Train.bin" if "train" in name else "Test.bin")),
    "IDX, Kaggle": _idx(_into_folders),
    "IDX, torchvision": _idx(_as_torchvision),
    "IDX, no labels": _idx(_without_labels),
    "IDX, strange labels": _idx(_labels_of_any_kind),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_same_images_are_the_same_bits_from_every_source(tmp_path, source):
    splits = load_splits(seed=2, **source(tmp_path))
    train, test, mean = preprocess(IMAGES["train"], IMAGES["test"], seed=2)
    assert contents(splits) == [train.tobytes(), test.tobytes()]
    for split, images in zip(("train", "test"), splits, strict=True):
        assert images.mean.tobytes() == mean.tobytes()
        assert images.sha256 == sha256(IMAGES[split]) and not images.fallback


def _one_npy(folder):
    np.save(folder / "x.npy", ALL)
    return folder / "x.npy"


def _one_npz(folder):
    np.savez(folder / "x.npz", whatever=ALL)
    return folder / "x.npz"


def _fortran(folder):
    np.save(folder / "x.npy", np.asfortranarray(ALL))
    return folder / "x.npy"


WHOLE = {
    "npy": _one_npy,
    "npy, column by column": _fortran,
    "npz": _one_npz,
    "PNG": lambda folder: write_pictures(folder / "pictures", ALL),
    "TIFF": lambda folder: write_pictures(folder / "pictures", ALL, ".tif"),
}


@pytest.mark.parametrize("source", WHOLE.values(), ids=WHOLE)
def test_of_one_array_or_folder_the_seed_draws_a_seventh_to_test_on(tmp_path, source):
    splits = load_splits(images=source(tmp_path), noise_std=0)
    assert contents(splits) == contents(load_splits(images=ALL, noise_std=0))
    shown = [{(np.rint((image + s.mean) * 255)).astype(np.uint8).tobytes() for image in s.images} for s in splits]
    assert [len(images) for images in shown] == [36, 6]
    assert set.union(*shown) == {image.tobytes() for image in ALL}
    other = load_splits(images=ALL, noise_std=0, seed=1)
    assert other[1].sha256 != splits[1].sha256


# Pictures.


def raw_of(folder, **options):
    """The 8-bit training and test images of a folder of pictures."""
    splits = load_splits(images=folder, noise_std=0, **options)
    return [np.rint((split.images + split.mean) * 255).astype(np.uint8) for split in splits]


def _exif_turned(grey, path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(np.rot90(grey)).save(path, exif=exif)


def _with_alpha(grey, path):
    alpha = np.random.default_rng(0).integers(0, 256, grey.shape, dtype=np.uint8)
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]).save(path)


def _palette(grey, path):
    image = Image.fromarray(grey).convert("P")
    image.save(path, transparency=bytes(range(256)))


PICTURES = {
    "grey": lambda grey, path: Image.fromarray(grey).save(path),
    "colour": lambda grey, path: Image.fromarray(np.repeat(grey[..., None], 3, 2)).save(path),
    "grey with alpha": _with_alpha,
    "palette with alpha": _palette,
    "16 bits": lambda grey, path: Image.fromarray(grey.astype(np.uint16) * 257).save(path),
    "turned by EXIF": _exif_turned,
}


@pytest.mark.parametrize("write", PICTURES.values(), ids=PICTURES)
def test_pictures_of_every_kind_are_read_as_they_are_seen(tmp_path, write):
    folders = [tmp_path / "pictures" / split for split in ("train", "test")]
    pictures = small_images(size=(6, 9), counts={"train": 3, "test": 2})
    for folder, images in zip(folders, pictures.values(), strict=True):
        folder.mkdir(parents=True)
        for number, image in enumerate(images):
            write(image, folder / f"{number}.png")
    for found, images in zip(raw_of(tmp_path / "pictures"), pictures.values(), strict=True):
        np.testing.assert_array_equal(found, images)


def test_colour_becomes_luminance_in_arrays_as_in_pictures(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, [8, 5, 6, 3], dtype=np.uint8)
    splits = load_splits(images=colours)
    assert contents(splits) == contents(load_splits(images=write_pictures(tmp_path / "colours", colours)))
    expected = np.stack([np.asarray(Image.fromarray(colour).convert("L")) for colour in colours])
    assert contents(splits) == contents(load_splits(images=expected))


# Patches.


def numbered_pictures(sizes):
    """Pictures whose pixels say which picture, row and column they are: number × 40 + a hash of place under 40."""
    return [
        np.fromfunction(lambda y, x, n=number: n * 40 + (5 * y + 3 * x) % 40, size).astype(np.uint8)
        for number, size in enumerate(sizes)
    ]


def test_patches_are_cut_at_random_places_of_pictures_of_any_size(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    pictures = numbered_pictures([(30, 40), (25, 9), (12, 60), (19, 18), (50, 50)])
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    train, test = raw_of(folder, patch=(5, 7), patches=600)
    assert train.shape == (600, 5, 7) and test.shape == (100, 5, 7)
    owners = [set((patches // 40).ravel()) for patches in (train, test)]
    assert len(owners[1]) == 1 and not owners[0] & owners[1] and len(set.union(*owners)) == 5
    for patch in [*train, *test]:
        windows = np.lib.stride_tricks.sliding_window_view(pictures[patch[0, 0] // 40], (5, 7))
        assert (windows == patch).all(axis=(2, 3)).any()
    # Every place is equally likely: pictures have patches by the number of places in them.
    places = np.array([(h - 4) * (w - 6) for h, w in (picture.shape for picture in pictures)], float)
    places[list(owners[1])] = 0
    share = places / places.sum()
    counts = np.bincount(train[:, 0, 0] // 40, minlength=5)
    assert (np.abs(counts - 600 * share) < 5 * np.sqrt(600 * share + 1e-9) + 1e-6).all()
    # The first hundred are of several pictures, not of the first alone.
    assert len(set(train[:100, 0, 0] // 40)) == 4
    assert raw_of(folder, patch=(5, 7), patches=600, seed=1)[0].tobytes() != train.tobytes()


@pytest.mark.parametrize("shape", [(40, 200), (200, 40)])
@pytest.mark.parametrize("as_file", [False, True])
def test_of_one_picture_no_training_patch_touches_what_is_tested_on(tmp_path, shape, as_file):
    axis = int(shape[1] > shape[0])
    picture = np.broadcast_to(np.arange(200, dtype=np.uint8), (40, 200))
    picture = picture if axis else picture.T
    if as_file:
        Image.fromarray(np.ascontiguousarray(picture)).save(tmp_path / "one.png")
    train, test = raw_of(tmp_path / "one.png" if as_file else picture, patch=(6, 9), patches=3000)
    assert set(train.ravel()) | set(test.ravel()) == set(range(200))
    assert train.max() < test.min() == 200 - 28 and (len(train), len(test)) == (3000, 500)


def test_patches_of_arrays_of_pictures_come_from_different_pictures():
    pictures = np.stack(numbered_pictures([(20, 20)] * 6))
    train, test = raw_of(pictures, patch=(2, 2), patches=500)
    assert set((train // 40).ravel()).isdisjoint((test // 40).ravel()) and train.shape == (500, 2, 2)
    given, tested = raw_of({"train": pictures[:2], "test": pictures[2:4]}, patch=(3, 2), patches=50)
    assert set((given // 40).ravel()) == {0, 1} and set((tested // 40).ravel()) == {2, 3}


@pytest.mark.parametrize("size", [(2, 2), (2, 9), (9, 2), (20, 24)])
def test_images_of_any_size_from_2_by_2_are_taken(size):
    images = small_images(size=size)
    assert load_images(images=images).images.shape == (30, *size)
    with pytest.raises(UserError, match=r"1×9 pixels; 2×2 is the smallest|9×1"):
        load_images(images=np.zeros([5, *((1, 9) if size[0] < 9 else (9, 1))], np.uint8))


MEMORY = """
import sys, resource, numpy as np
from assignment.data import load_splits
from assignment.data.minibatches import minibatches, chunks

def private():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

picture = np.random.default_rng(0).integers(0, 256, [500, 700], dtype=np.uint8)
peaks = []
for count in (10_000, 100_000):
    train, _ = load_splits(images=picture, patch=(20, 24), patches=count)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    batches = minibatches(train.images, 500, 0)
    for _ in range(300):
        next(batches)
    total = sum(float(chunk.sum(dtype=float)) for chunk in chunks(train.images))
    peaks.append(private())
    if count == 10_000:
        del train, batches
print(*peaks)
"""


def test_a_hundred_thousand_patches_are_ready_in_seconds_and_in_no_more_memory_than_ten_thousand(tmp_path):
    """48 MB of pixels, 188 MB preprocessed: the peaks in MB, while making (all memory) and while reading (private)."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    making, reading, making_more, reading_more = map(float, done.stdout.split())
    assert reading_more < reading + 10
    assert making_more < making + 40 + 38, "the 10,000 that were read before are mapped: 19 MB, and read in chunks"
    assert time.monotonic() - started < 20


# Names.


@pytest.mark.parametrize(
    "text, name",
    [
        ("textures", "textures"),
        ("My pictures (2)", "My-pictures-2"),
        ("über/..\\x", "uber-..-x"),
        ("..", "images-abcdef"),
        ("", "images-abcdef"),
        ("写真", "images-abcdef"),
        (".hidden.", "hidden"),
        ("a" * 300, "a" * 60),
        ("a\nb\0c", "a-b-c"),
    ],
)
def test_names_are_safe_as_folder_names(text, name):
    assert safe_name(text, "abcdef0123") == name


@pytest.mark.parametrize(
    "path, given, name",
    [
        ("my textures.npy", "mnist", "my-textures"),
        ("写真.npy", "mnist", "images-"),
        ("mnist.npy", "mnist", "own-mnist"),
        ("kmnist.npy", "mnist", "own-kmnist"),
        ("mnist_sample.npy", "mnist", "own-mnist_sample"),
        ("textures.npy", "grass", "grass"),
        ("textures.npy", "kmnist", "textures"),
        ("textures.npy", "emnist/letters", "textures"),
        ("textures.npy", "mnist_sample", "textures"),
    ],
)
def test_own_images_are_never_called_like_a_set_of_tensorflow_datasets(tmp_path, capsys, data_dir, path, given, name):
    np.save(tmp_path / path, ALL)
    for _ in range(2):
        images = load_images(given, images=tmp_path / path)
        assert images.name.startswith(name) if name.endswith("-") else images.name == name
        told = f"not known to be those of {given}; they are called '{name}'"
        assert (told in capsys.readouterr().err) == (given not in ("mnist", name))
    assert [path.name for path in (data_dir / "preprocessed").iterdir()] == [images.name]


@pytest.mark.parametrize("name", ["a b", "..", "a/b", "", "x\0y"])
def test_a_name_that_cannot_be_a_folder_s_is_refused(name):
    with pytest.raises(UserError, match="cannot be that of a folder; say "):
        load_images(name, images=ALL)


@pytest.mark.parametrize("given", ["mnist", "fashion_mnist", "kmnist"])
def test_idx_files_that_are_not_the_set_named_are_called_by_their_folder(tmp_path, capsys, given):
    write_idx(tmp_path / "my scans")
    assert load_images(given, idx_dir=tmp_path / "my scans").name == "my-scans"
    assert f"not known to be those of {given}; they are called 'my-scans'" in capsys.readouterr().err


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "home" / "idx")
    np.save(tmp_path / "home" / "x.npy", ALL)
    for options in ({"idx_dir": "~/idx"}, {"images": "~/x.npy"}, {"images": Path("~/x.npy")}):
        load_images(data_dir="~/data", **options)
    assert (tmp_path / "home" / "data").is_dir() and not (tmp_path / "~").exists()


# What is refused: which file, and why, in one line.


def npy(array, **options):
    def write(folder):
        np.save(folder / "bad.npy", array, **options)
        return folder / "bad.npy"

    return write


def file(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return write


def cut(write, count):
    def truncate(folder):
        path = write(folder)
        path.write_bytes(path.read_bytes()[:-count])
        return path

    return truncate


def two_arrays(folder):
    np.savez(folder / "bad.npz", a=ALL, b=ALL)
    return folder / "bad.npz"


def pictures_and(name, content, count=3):
    """A folder of good pictures and another file, of an array or of bytes."""

    def write(folder):
        path = write_pictures(folder / "p", ALL[:count]) / name
        path.write_bytes(content) if isinstance(content, bytes) else Image.fromarray(content).save(path)
        return folder / "p"

    return write


def png_bytes():
    stream = io.BytesIO()
    Image.fromarray(ALL[0]).save(stream, format="png")
    return stream.getvalue()


BAD_IMAGES = {
    "float": (npy(ALL / 255), {}, "bad.npy holds float64 pixels; 8-bit"),
    "16-bit": (npy(ALL.astype(np.uint16)), {}, "bad.npy holds uint16 pixels"),
    "objects": (npy(np.array([None, 1]), allow_pickle=True), {}, "cannot read .*bad.npy: .*Python objects"),
    "one axis": (npy(ALL[0, 0]), {}, r"bad.npy has shape \(28,\)"),
    "four channels": (npy(np.zeros([3, 5, 5, 4], np.uint8)), {}, r"bad.npy has shape \(3, 5, 5, 4\)"),
    "five axes": (npy(np.zeros([2, 3, 5, 5, 1], np.uint8)), {}, "bad.npy has shape"),
    "empty": (npy(ALL[:0]), {}, "bad.npy is empty"),
    "too small": (npy(ALL[:, :1]), {}, "bad.npy holds images of 1×28 pixels"),
    "truncated npy": (cut(_one_npy, 5), {}, "cannot read .*x.npy"),
    "truncated npz": (cut(_one_npz, 30), {}, "cannot read .*x.npz"),
    "two arrays": (two_arrays, {}, "bad.npz holds a, b; give one array, or train and test"),
    "one image": (npy(ALL[:1]), {}, "of one image, cut patches"),
    "text": (file("bad.npy", b"no array"), {}, "cannot read .*bad.npy: cannot identify"),
    "no bytes": (file("bad.npz", b""), {}, "cannot read .*bad.npz: cannot identify"),
    "a list of sizes": (lambda folder: [[[1, 2], [3]]], {}, "images is no array of images of one size"),
    "sizes differ": (lambda folder: {"train": ALL, "test": ALL[:, 1:]}, {}, r"\(28, 28\), test of \(27, 28\)"),
    "other keys": (lambda folder: {"train": ALL, "valid": ALL}, {}, "images holds train, valid"),
    "pictures differ": (
        pictures_and("odd.png", ALL[0, :20]),
        {},
        r"odd.png is 20×28 pixels, .*is 28×28|is 28×28.*odd.png is 20×28",
    ),
    "no pictures": (pictures_and("notes.txt", b"no picture", count=0), {}, "p holds no pictures"),
    "damaged picture": (pictures_and("001.png", png_bytes()[:200]), {}, "cannot read .*001.png"),
    "no picture": (pictures_and("001.png", b"text"), {}, "cannot read .*001.png"),
    "float picture": (pictures_and("float.tif", ALL[0] / np.float32(3)), {}, "float.tif has pixels of 32 bits"),
    "wide picture": (
        pictures_and("wide.tif", np.full((28, 28), 70000, np.int32)),
        {},
        "wide.tif has pixels of 32 bits",
    ),
    "transposed pictures": (pictures_and("x.txt", b""), {"transpose": True}, "p holds pictures; transpose is for"),
    "no path": (lambda folder: "", {}, "path of the images is empty"),
    "patch too large": (_one_npy, {"patch": (29, 3)}, "image .* is 28×28 pixels, smaller than a patch of 29×3"),
    "one too small": (npy(ALL[:1]), {"patch": (15, 15)}, "28×28 pixels: too small for patches of 15×15"),
    "patches alone": (_one_npy, {"patches": 5}, "give their size too"),
    "patch of one": (_one_npy, {"patch": (1, 5)}, r"patch\[0\] must be at least 2"),
    "patch of text": (_one_npy, {"patch": "5x5"}, "patch must be a pair"),
    "no patches": (_one_npy, {"patch": (5, 5), "patches": 0}, "patches must be at least 1"),
}


@pytest.mark.parametrize("write, options, message", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_refused_in_one_line_and_leave_nothing(tmp_path, data_dir, write, options, message):
    with pytest.raises((UserError, ValueError, TypeError), match=message) as caught:
        load_images(images=write(tmp_path), **options)
    assert "\n" not in str(caught.value)
    assert not [path for path in data_dir.rglob("*") if path.is_file() and path.name != ".lock"]


TWO = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
GZIPPED = gzip.compress(idx_bytes(TWO))
BAD_IDX = {
    "empty file": (b"", "truncated"),
    "within the magic number": (b"\0\0", "truncated"),
    "within the header": (idx_bytes(TWO)[:9], "truncated"),
    "within the pixels": (idx_bytes(TWO)[:-1], "truncated"),
    "longer than its header says": (idx_bytes(TWO) + b"\0", "longer than its header"),
    "absurd counts": (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "truncated"),
    "wrong magic number": (b"\x89PNG" + idx_bytes(TWO), "magic number 0x89504e47"),
    "unknown type": (idx_bytes(TWO, code=0x07), "magic number 0x00000703"),
    "16-bit": (idx_bytes(TWO.astype(">i2"), code=0x0B), "int16 pixels"),
    "float": (idx_bytes(TWO.astype(">f4"), code=0x0D), "float32 pixels"),
    "labels for images": (idx_bytes(TWO[:, 0, 0]), r"shape \(2,\)"),
    "no axes": (bytes([0, 0, 8, 0, 5]), r"shape \(\)"),
    "no images": (idx_bytes(TWO[:0]), "is empty"),
    "wrong size": (idx_bytes(np.zeros([30, 20, 20], np.uint8)), r"\(20, 20\), test of \(28, 28\)"),
    "truncated gzip": (GZIPPED[:-12], "damaged gzip"),
    "altered gzip": (GZIPPED[:-8] + bytes(4) + GZIPPED[-4:], "damaged gzip"),
    "no gzip": (b"\x1f\x8bplain text", "damaged gzip"),
}


@pytest.mark.parametrize("data, message", BAD_IDX.values(), ids=BAD_IDX)
def test_bad_idx_files_are_refused_in_one_line_and_leave_nothing(tmp_path, data_dir, data, message):
    write_idx(tmp_path / "idx")
    (tmp_path / "idx" / FILE_NAMES["train"]).write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        load_images(idx_dir=tmp_path / "idx")
    assert "\n" not in str(caught.value) and ("train" in str(caught.value))
    assert not [path for path in data_dir.rglob("*") if path.is_file() and path.name != ".lock"]


def _no_test_file(folder):
    (folder / FILE_NAMES["test"]).unlink()


def _folder_for_file(folder):
    _no_test_file(folder)
    (folder / FILE_NAMES["test"]).mkdir()


def _two_files(folder):
    (folder / "emnist-test-images").write_bytes(idx_bytes(TWO))


def _unreadable(folder):
    (folder / FILE_NAMES["test"]).unlink()
    os.mkfifo(folder / FILE_NAMES["test"])


@pytest.mark.parametrize(
    "damage, message",
    [
        (shutil.rmtree, "does not exist"),
        (_no_test_file, "lacks the test images: .* t10k-images-idx3-ubyte"),
        (_folder_for_file, "lacks the test images"),
        (_unreadable, "lacks the test images"),
        (_two_files, "emnist-test-images and .*t10k-images-idx3-ubyte both hold test images"),
    ],
)
def test_bad_idx_folders_are_refused(tmp_path, data_dir, damage, message):
    write_idx(tmp_path / "idx")
    damage(tmp_path / "idx")
    with pytest.raises(UserError, match=message):
        load_images(idx_dir=tmp_path / "idx")
    assert not data_dir.exists()


def test_idx_files_are_transposed_where_it_is_asked_for(tmp_path):
    images = write_idx(tmp_path / "idx", size=(20, 24))
    train, _ = load_splits(idx_dir=tmp_path / "idx", transpose=True)
    assert train.images.shape == (COUNTS["train"], 24, 20)
    assert train.sha256 == sha256(images["train"].swapaxes(1, 2))
