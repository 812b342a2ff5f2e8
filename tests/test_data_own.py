"""The user's own images: the same bits from every source, patches, names, and all that can be wrong with them."""

import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from gzip import compress
from pathlib import Path

import numpy as np
import pytest
from data_files import (
    FILE_NAMES,
    contents,
    idx_bytes,
    npy_bytes,
    npz_bytes,
    picture_bytes,
    sha256,
    small_images,
    write_files,
    write_idx,
)
from PIL import Image

from assignment.data import load_images, load_splits, preprocess
from assignment.errors import UserError

IMAGES = small_images()
ALL = np.concatenate([IMAGES["train"], IMAGES["test"]])
TURNED = {split: np.ascontiguousarray(images.swapaxes(1, 2)) for split, images in IMAGES.items()}


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSIGNMENT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ASSIGNMENT_OFFLINE", "1")
    return tmp_path / "data"


def pictures(images, folder="p", kind="png"):
    """{name: bytes} of pictures in a folder."""
    return {f"{folder}/{number:03}.{kind}": picture_bytes(image, kind) for number, image in enumerate(images)}


def given(folder, what):
    """Writes bytes or {name: bytes}, and returns where: a file, or the folder `p` of `p/a.png`. Else what it is."""
    if isinstance(what, bytes):
        what = {"bad": what}
    if not isinstance(what, dict) or not all(isinstance(content, bytes) for content in what.values()):
        return what
    return write_files(folder, what) / next(iter(what)).partition("/")[0]


def nothing_is_written(data_dir):
    return not [path for path in data_dir.rglob("*") if path.is_file() and path.name != ".lock"]


# The same bits from every source.

BY_SPLIT = {
    "arrays": IMAGES,
    "arrays, transposed": TURNED,
    "npz": {"x.npz": npz_bytes(**IMAGES, labels=np.arange(3))},
    "npz with a channel": {"x.npz": npz_bytes(**{split: images[..., None] for split, images in IMAGES.items()})},
    "grey as colour": {split: np.repeat(images[..., None], 3, axis=3) for split, images in IMAGES.items()},
    "folders of PNG": {
        **pictures(IMAGES["train"], "p/train"),
        **pictures(IMAGES["test"], "p/Test"),
        "p/train/notes.txt": b"no picture",
        "p/train/.hidden/a.png": b"no picture",
    },
}
TRAIN, TEST = idx_bytes(IMAGES["train"]), idx_bytes(IMAGES["test"])
TRAIN_NAME, TEST_NAME = FILE_NAMES.values()
PLAIN = {TRAIN_NAME: TRAIN, TEST_NAME: TEST}
IDX = {
    "IDX": PLAIN,
    "IDX, transposed": {FILE_NAMES[split]: idx_bytes(images) for split, images in TURNED.items()},
    "IDX, gzipped": {f"{TRAIN_NAME}.gz": compress(TRAIN), f"{TEST_NAME}.gz": compress(TEST)},
    "IDX, wrong endings": {TRAIN_NAME: compress(TRAIN), f"{TEST_NAME}.gz": TEST},
    "IDX, with dots": {"train-images.idx3-ubyte": TRAIN, "t10k-images.idx3-ubyte": TEST},
    "IDX, EMNIST": {f"emnist-{s}-images-idx3-ubyte.gz": compress(x) for s, x in (("train", TRAIN), ("test", TEST))},
    "IDX, plain names": {"Train.bin": TRAIN, "Test.bin": TEST, "train.csv": b"5,0,0", "test.gz": b"\x1f\x8bx"},
    "IDX, Kaggle": {f"{TRAIN_NAME}/{TRAIN_NAME}": TRAIN, f"{TEST_NAME}/{TEST_NAME}": TEST},
    "IDX, torchvision": {f"MNIST/raw/{n}{e}": compress(x) if e else x for n, x in PLAIN.items() for e in ("", ".gz")},
    "IDX, hidden files": {**PLAIN, f"._{TRAIN_NAME}": b"as macOS leaves it"},
    "IDX, labels": {**PLAIN, **{f"{s}-labels-idx1-ubyte": idx_bytes(ALL[:, 0, 0]) for s in ("train", "t10k")}},
    "IDX, in two, and padded": {**PLAIN, TRAIN_NAME: compress(TRAIN[:99]) + compress(TRAIN[99:]) + b"\0"},
}


@pytest.mark.parametrize("source", [*BY_SPLIT, *IDX])
def test_the_same_images_are_the_same_bits_from_every_source(tmp_path, source):
    if source in IDX:
        options = {"idx_dir": write_files(tmp_path / "idx", IDX[source])}
    else:
        options = {"images": given(tmp_path, BY_SPLIT[source])}
    splits = load_splits(seed=2, transpose="transposed" in source, **options)
    train, test, mean = preprocess(IMAGES["train"], IMAGES["test"], seed=2)
    assert contents(splits) == [train.tobytes(), test.tobytes()]
    for split, images in zip(("train", "test"), splits, strict=True):
        assert images.mean.tobytes() == mean.tobytes()
        assert images.sha256 == sha256(IMAGES[split]) and not images.fallback


def link_to_folder(folder):
    (folder / "link").symlink_to(write_files(folder, pictures(ALL)) / "p")
    return folder / "link"


WHOLE = {
    "npy": {"x.npy": npy_bytes(ALL)},
    "npy, column by column": {"x.npy": npy_bytes(np.asfortranarray(ALL))},
    "npz": {"x.npz": npz_bytes(whatever=ALL)},
    "npz, test alone": {"x.npz": npz_bytes(test=ALL)},
    "PNG": pictures(ALL),
    "TIFF": pictures(ALL, kind="tiff"),
    "PNG in folders, and others": {
        **pictures(ALL[:9], "p/a b"),
        **pictures(ALL[9:], "p/é\n写"),
        "p/.a.png": b"no picture",
        "p/.thumbs/a.png": b"no picture",
        "p/c.png/notes.txt": b"no picture",
    },
    "link to a folder": link_to_folder,
}


@pytest.mark.parametrize("source", WHOLE.values(), ids=WHOLE)
def test_of_one_array_or_folder_the_seed_draws_a_seventh_to_test_on(tmp_path, source):
    images = source(tmp_path) if callable(source) else given(tmp_path, source)
    splits = load_splits(images=images, noise_std=0)
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


def colour(grey):
    return np.repeat(grey[..., None], 3, axis=2)


def turned(grey):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    return picture_bytes(np.rot90(grey), exif=exif)


def with_alpha(grey):
    alpha = np.random.default_rng(0).integers(0, 256, grey.shape, dtype=np.uint8)
    return picture_bytes(np.stack([grey, alpha], axis=2))


PICTURES = {
    "grey": picture_bytes,
    "colour": lambda grey: picture_bytes(colour(grey)),
    "grey with alpha": with_alpha,
    "palette with alpha": lambda grey: picture_bytes(grey, mode="P", transparency=bytes(range(256))),
    "CMYK": lambda grey: picture_bytes(colour(grey), "tiff", "CMYK"),
    "16 bits": lambda grey: picture_bytes(grey.astype(np.uint16) * 257),
    "16 bits, big-endian": lambda grey: picture_bytes(grey.astype(">u2") * 257, "tiff"),
    "turned by EXIF": turned,
    "animated": lambda grey: picture_bytes(grey, "gif", save_all=True, append_images=[Image.fromarray(grey // 2)]),
}


@pytest.mark.parametrize("write", PICTURES.values(), ids=PICTURES)
def test_pictures_of_every_kind_are_read_as_they_are_seen(tmp_path, write):
    images = small_images(size=(6, 9), counts={"train": 3, "test": 2})
    for split, greys in images.items():
        write_files(tmp_path / split, {f"{number}.png": write(grey) for number, grey in enumerate(greys)})
    for found, greys in zip(raw_of(tmp_path), images.values(), strict=True):
        np.testing.assert_array_equal(found, greys)


def test_bits_and_colours_are_read_as_they_are_seen(tmp_path):
    """Colour becomes luminance, in arrays as in pictures; the bits of black and white become 0 and 255."""
    colours = np.random.default_rng(0).integers(0, 256, [8, 5, 6, 3], dtype=np.uint8)
    splits = load_splits(images=colours)
    assert contents(splits) == contents(load_splits(images=given(tmp_path, pictures(colours))))
    expected = np.stack([np.asarray(Image.fromarray(colour).convert("L")) for colour in colours])
    assert contents(splits) == contents(load_splits(images=expected))
    bits = np.where(expected > 99, 255, 0).astype(np.uint8)
    files = {f"bits/{number}.pbm": picture_bytes(image, "ppm", "1") for number, image in enumerate(bits)}
    assert contents(load_splits(images=given(tmp_path, files))) == contents(load_splits(images=bits))


def test_large_pictures_are_read_without_a_warning(tmp_path, monkeypatch):
    """Pillow warns from a number of pixels on; warnings are errors in the tests."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert contents(load_splits(images=given(tmp_path, pictures(ALL)))) == contents(load_splits(images=ALL))


# Patches.


def numbered_pictures(sizes):
    """Pictures whose pixels say which picture, row and column they are: number × 40 + a hash of place under 40."""
    return [
        np.fromfunction(lambda y, x, n=number: n * 40 + (5 * y + 3 * x) % 40, size).astype(np.uint8)
        for number, size in enumerate(sizes)
    ]


def test_patches_are_cut_at_random_places_of_pictures_of_any_size(tmp_path):
    numbered = numbered_pictures([(30, 40), (25, 9), (12, 60), (19, 18), (50, 50)])
    folder = given(tmp_path, pictures(numbered))
    train, test = raw_of(folder, patch=(5, 7), patches=600)
    assert train.shape == (600, 5, 7) and test.shape == (100, 5, 7)
    owners = [set((patches // 40).ravel()) for patches in (train, test)]
    assert len(owners[1]) == 1 and not owners[0] & owners[1] and len(set.union(*owners)) == 5
    for patch in [*train, *test]:
        windows = np.lib.stride_tricks.sliding_window_view(numbered[patch[0, 0] // 40], (5, 7))
        assert (windows == patch).all(axis=(2, 3)).any()
    # Every place is equally likely: pictures have patches by the number of places in them.
    places = np.array([(h - 4) * (w - 6) for h, w in (picture.shape for picture in numbered)], float)
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
    picture = np.ascontiguousarray(picture if axis else picture.T)
    train, test = raw_of(given(tmp_path, picture_bytes(picture)) if as_file else picture, patch=(6, 9), patches=3000)
    assert set(train.ravel()) | set(test.ravel()) == set(range(200))
    assert train.max() < test.min() == 200 - 28 and (len(train), len(test)) == (3000, 500)


def test_patches_of_arrays_of_pictures_come_from_different_pictures():
    numbered = np.stack(numbered_pictures([(20, 20)] * 6))
    train, test = raw_of(numbered, patch=(2, 2), patches=500)
    assert set((train // 40).ravel()).isdisjoint((test // 40).ravel()) and train.shape == (500, 2, 2)
    given, tested = raw_of({"train": numbered[:2], "test": numbered[2:4]}, patch=(3, 2), patches=50)
    assert set((given // 40).ravel()) == {0, 1} and set((tested // 40).ravel()) == {2, 3}


@pytest.mark.parametrize("size", [(2, 2), (2, 9), (9, 2), (20, 24)])
def test_images_of_any_size_from_2_by_2_are_taken(size):
    assert load_images(images=small_images(size=size)).images.shape == (30, *size)


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


@pytest.mark.slow
def test_a_hundred_thousand_patches_are_ready_in_seconds_and_in_no_more_memory_than_ten_thousand(tmp_path):
    """48 MB of pixels, 188 MB preprocessed: the peaks in MB, while making (all memory) and while reading (private)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    making, reading, making_more, reading_more = map(float, done.stdout.split())
    assert reading_more < reading + 10
    assert making_more < making + 40 + 38, "the 10,000 that were read before are mapped: 19 MB, and read in chunks"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20  # s, however busy the machine is


# Names.


@pytest.mark.parametrize(
    "path, asked, name",
    [
        ("my textures.npy", "mnist", "my-textures"),
        ("my\ntextures.npy", "mnist", "my-textures"),
        ("写真.npy", "mnist", "images-"),
        ("über x\\y (2).npy", "mnist", "uber-x-y-2"),
        (".hidden..npy", "mnist", "hidden"),
        ("a" * 200 + ".npy", "mnist", "a" * 60),
        ("\udcff.npy", "mnist", "images-"),
        ("mnist.npy", "mnist", "own-mnist"),
        ("kmnist.npy", "mnist", "own-kmnist"),
        ("mnist_sample.npy", "mnist", "own-mnist_sample"),
        ("textures.npy", "grass", "grass"),
        ("textures.npy", "kmnist", "textures"),
        ("textures.npy", "emnist/letters", "textures"),
        ("textures.npy", "mnist_sample", "textures"),
    ],
)
def test_own_images_are_never_called_like_a_set_of_tensorflow_datasets(tmp_path, capsys, data_dir, path, asked, name):
    np.save(tmp_path / path, ALL)
    for _ in range(2):
        images = load_images(asked, images=tmp_path / path)
        assert images.name.startswith(name) if name.endswith("-") else images.name == name
        told = f"not known to be those of {asked}; they are called '{name}'"
        assert (told in capsys.readouterr().err) == (asked not in ("mnist", name)) and "\n" not in images.source
    assert [path.name for path in (data_dir / "preprocessed").iterdir()] == [images.name]


@pytest.mark.parametrize("name", ["a b", "..", "a/b", "", "x\0y"])
def test_a_name_that_cannot_be_a_folder_s_is_refused(name):
    with pytest.raises(UserError, match="cannot be that of a folder; say "):
        load_images(name, images=ALL)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_idx_files_that_are_not_the_set_named_are_called_by_their_folder(tmp_path, capsys, name):
    write_idx(tmp_path / "my scans")
    assert load_images(name, idx_dir=tmp_path / "my scans").name == "my-scans"
    assert f"not known to be those of {name}; they are called 'my-scans'" in capsys.readouterr().err


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "home" / "idx")
    np.save(tmp_path / "home" / "x.npy", ALL)
    for options in ({"idx_dir": "~/idx"}, {"images": "~/x.npy"}, {"images": Path("~/x.npy")}):
        load_images(data_dir="~/data", **options)
    assert (tmp_path / "home" / "data").is_dir() and not (tmp_path / "~").exists()


# What is refused: which file, and why, in one line.


def beside(content):
    """A folder of good pictures and a file `odd.png`."""
    return {**pictures(ALL[:3]), "p/odd.png": content}


def zip_bytes(content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.png", content)
    return stream.getvalue()


BAD_IMAGES = {
    "float": (npy_bytes(ALL / 255), "bad holds float64 pixels; 8-bit"),
    "16-bit": (npy_bytes(ALL.astype(">u2")), "bad holds uint16 pixels"),
    "Boolean": (npy_bytes(ALL > 3), "bad holds bool pixels"),
    "objects": (npy_bytes(np.array([None, 1]), allow_pickle=True), "cannot read .*bad: .*Python objects"),
    "objects in npz": (npz_bytes(train=np.array([None]), test=ALL), "cannot read .*bad: Object arrays"),
    "pickle": (pickle.dumps(ALL), "cannot read .*bad: cannot identify"),
    "no axes": (npy_bytes(ALL[0, 0, 0]), r"bad has shape \(\)"),
    "one axis": (npy_bytes(ALL[0, 0]), r"bad has shape \(28,\)"),
    "four channels": (npy_bytes(np.zeros([3, 5, 5, 4], np.uint8)), r"bad has shape \(3, 5, 5, 4\)"),
    "five axes": (npy_bytes(np.zeros([2, 3, 5, 5, 1], np.uint8)), "bad has shape"),
    "empty": (npy_bytes(ALL[:0]), "bad is empty"),
    "too small": (npy_bytes(ALL[:, :1]), "bad holds images of 1×28 pixels; 2×2 is the smallest"),
    "too narrow": (npy_bytes(ALL[:, :, :1]), "bad holds images of 28×1 pixels; 2×2 is the smallest"),
    "truncated npy": (npy_bytes(ALL)[:-5], "cannot read .*bad"),
    "truncated npz": (npz_bytes(a=ALL)[:-30], "cannot read .*bad"),
    "two arrays": (npz_bytes(a=ALL, b=ALL), "bad holds a, b; give one array, or train and test"),
    "no arrays": (npz_bytes(), "bad holds nothing; give one array"),
    "zipped pictures": (zip_bytes(b"a picture"), "bad is a zip archive of other things than arrays; unpack it"),
    "train and labels": (npz_bytes(train=ALL, labels=ALL[0]), "bad holds train, labels; give one array"),
    "one image": (npy_bytes(ALL[:1]), "of one image, cut patches"),
    "text": (b"no array", "cannot read .*bad: cannot identify"),
    "fifo": (os.mkfifo, "bad is neither a file nor a folder"),
    "device": ("/dev/zero", "/dev/zero is neither a file nor a folder"),
    "dead link": (lambda path: path.symlink_to("nowhere"), "cannot read .*bad: No such file"),
    "long name": ("x" * 300, "cannot read x*: File name too long"),
    "nobody's home": ("~no-such-user/x", "cannot read ~no-such-user/x: No such file"),
    "no path": ("", "path of the images is empty"),
    "a list of sizes": ([[[1, 2], [3]]], "images is no array of images of one size"),
    "sizes differ": ({"train": ALL, "test": ALL[:, 1:]}, r"\(28, 28\), test of \(27, 28\)"),
    "other keys": ({"train": ALL, "valid": ALL}, "images holds train, valid"),
    "one picture": ({"p/a.png": picture_bytes(ALL[0]), "p/x.txt": b""}, "a.png is 28×28 pixels: of one image, cut"),
    "no pictures": ({"p/notes.txt": b"no picture"}, "p holds no pictures"),
    "no test pictures": ({**pictures(ALL[:3], "p/train"), "p/test/x.txt": b""}, "test holds no pictures"),
    "pictures differ": (beside(picture_bytes(ALL[0, 8:])), "odd.png is 20×28 .* is 28×28| is 28×28.*odd.png is 20×28"),
    "truncated picture": (beside(picture_bytes(ALL[0])[:200]), "cannot read .*odd.png"),
    "no picture": (beside(b"text"), "cannot read .*odd.png"),
    "float picture": (beside(picture_bytes(ALL[0] / np.float32(3), "tiff")), "odd.png has pixels of 32 bits"),
    "wide picture": (beside(picture_bytes(ALL[0] * np.int32(999), "tiff")), "odd.png has pixels of 32 bits"),
}
BAD_OPTIONS = {
    "transposed pictures": (pictures(ALL[:3]), {"transpose": True}, "p holds pictures; transpose is for"),
    "patch too large": (ALL, {"patch": (29, 3)}, "image .* is 28×28 pixels, smaller than a patch of 29×3"),
    "small picture": (beside(picture_bytes(ALL[0, :3])), {"patch": (4, 5)}, "odd.png is 3×28 pixels, smaller than"),
    "one too small": (ALL[:1], {"patch": (15, 15)}, "28×28 pixels: too small for patches of 15×15"),
    "patches alone": (ALL, {"patches": 5}, "give their size too"),
    "patch of one": (ALL, {"patch": (1, 5)}, r"patch\[0\] must be at least 2"),
    "patch of text": (ALL, {"patch": "5x5"}, "patch must be a pair"),
    "no patches": (ALL, {"patch": (5, 5), "patches": 0}, "patches must be at least 1"),
    "too many patches": (ALL, {"patch": (5, 5), "patches": 10**11}, "patches must be at least 1 and below"),
}


@pytest.mark.parametrize("row", [*BAD_IMAGES, *BAD_OPTIONS])
def test_bad_images_are_refused_in_one_line_and_leave_nothing(tmp_path, data_dir, row):
    what, *options, message = BAD_IMAGES.get(row) or BAD_OPTIONS[row]
    if callable(what):
        what(tmp_path / "bad")
    images = tmp_path / "bad" if callable(what) else given(tmp_path, what)
    with pytest.raises((UserError, ValueError, TypeError), match=message) as caught:
        load_images(images=images, **(options[0] if options else {}))
    assert "\n" not in str(caught.value) and nothing_is_written(data_dir)


TWO = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
GZIPPED = compress(idx_bytes(TWO))
BAD_IDX = {
    "empty file": (b"", "truncated"),
    "within the pixels": (idx_bytes(TWO)[:-1], "truncated"),
    "longer than its header says": (idx_bytes(TWO) + b"\0", "longer than its header"),
    "absurd counts": (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "truncated"),
    "absurd rank": (bytes([0, 0, 8, 255]) + bytes(4 * 255), "train-images-idx3-ubyte has shape"),
    "wrong magic number": (b"\x89PNG" + idx_bytes(TWO), "magic number 0x89504e47"),
    "unknown type": (idx_bytes(TWO, code=0x07), "magic number 0x00000703"),
    "16-bit": (idx_bytes(TWO.astype(">i2"), code=0x0B), "int16 pixels"),
    "float": (idx_bytes(TWO.astype(">f4"), code=0x0D), "float32 pixels"),
    "labels for images": (idx_bytes(TWO[:, 0, 0]), r"shape \(2,\)"),
    "no axes": (bytes([0, 0, 8, 0, 5]), r"shape \(\)"),
    "no images": (idx_bytes(TWO[:0]), "is empty"),
    "wrong size": (idx_bytes(np.zeros([30, 20, 20], np.uint8)), r"\(20, 20\), test of \(28, 28\)"),
    "truncated gzip": (GZIPPED[:-12], "damaged gzip"),
    "gzip and more": (GZIPPED + b"more", "damaged gzip"),
    "gzipped twice": (compress(GZIPPED), "magic number 0x1f8b08"),
    "no gzip": (b"\x1f\x8bplain text", "damaged gzip"),
    # The whole folder.
    "no folder": ({}, "does not exist"),
    "no training file": ({TEST_NAME: TEST}, "lacks the train images: .* train-images-idx3-ubyte"),
    "a folder for a file": ({TEST_NAME: TEST, f"{TRAIN_NAME}/x": b""}, "lacks the train images"),
    "a fifo": (os.mkfifo, "lacks the train images"),
    "two files": ({**PLAIN, "emnist-train": idx_bytes(TWO)}, "emnist-train and .*-idx3-ubyte both hold train"),
}


@pytest.mark.parametrize("what, message", BAD_IDX.values(), ids=BAD_IDX)
def test_bad_idx_files_are_refused_in_one_line_and_leave_nothing(tmp_path, data_dir, what, message):
    if callable(what):
        what(write_files(tmp_path / "idx", {TEST_NAME: TEST}) / TRAIN_NAME)
    else:
        write_files(tmp_path / "idx", what if isinstance(what, dict) else {**PLAIN, TRAIN_NAME: what})
    with pytest.raises(UserError, match=message) as caught:
        load_images(idx_dir=tmp_path / "idx")
    assert "\n" not in str(caught.value) and nothing_is_written(data_dir)
    assert "train" in str(caught.value) or what == {}
