import gzip
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.batches import formats
from components.batches.labelled import Labelled
from components.errors import DataError, PipelineError, UsageError
from tests.components.batches.digits import idx_pair, noise

ROWS = noise(1, 20)


def same(found: Labelled, expected: Labelled = ROWS) -> bool:
    return np.array_equal(found.images, expected.images) and np.array_equal(found.labels, expected.labels)


def png(pixels: Any, **options: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", **options)
    return content.getvalue()


def folders(directory: Path, rows: Labelled) -> Path:
    for number, (image, label) in enumerate(zip(rows.images, rows.labels, strict=True)):
        folder = directory / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04}.png").write_bytes(png(image))
    return directory


def npz(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def test_an_idx_pair_in_either_order_or_a_folder(tmp_path: Path) -> None:
    images, labels = idx_pair(tmp_path / "pair", ROWS)
    (tmp_path / "pair" / "README").write_text("a person's", encoding="utf-8")
    assert same(formats.read([images, labels]))
    assert same(formats.read([labels, images]))
    assert same(formats.read([tmp_path / "pair"]))


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("x_train", "y_train")])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, ">u2"])
def test_an_npz_of_whole_numbers(tmp_path: Path, names: tuple[str, str], dtype: Any) -> None:
    images, labels = names
    arrays = {images: ROWS.images.astype(dtype), labels: ROWS.labels.astype(dtype)}
    assert same(formats.read([npz(tmp_path / "digits.npz", **arrays)]))
    arrays[images] = np.asfortranarray(arrays[images].reshape(20, 784))
    assert same(formats.read([npz(tmp_path / "flat.npz", **arrays)]))


def test_folders_of_png_and_what_a_desktop_leaves_in_them(tmp_path: Path) -> None:
    folder = folders(tmp_path / "digits", ROWS)
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / str(ROWS.labels[0]) / ".DS_Store").write_bytes(b"\0")
    order = np.argsort(ROWS.labels, kind="stable")
    assert same(formats.read([folder]), Labelled(ROWS.images[order], ROWS.labels[order]))


GREY = ROWS.images[0]
DEEP = np.zeros((28, 28), np.uint16)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bare_png(width: int, height: int, bits: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return formats._PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (png(DEEP), "is 28 x 28 of 16 bits, grey"),
        (bare_png(28, 28, 4, bytes(15 * 28)), "is 28 x 28 of 4 bits, grey"),
        (bare_png(28, 28, 1, bytes(5 * 28)), "is 28 x 28 of 1 bits, grey"),
        (png(np.zeros((28, 28, 3), np.uint8)), "is 28 x 28 of 8 bits, RGB;"),
        (png(np.zeros((28, 28, 4), np.uint8)), "is 28 x 28 of 8 bits, RGB with alpha"),
        (png(np.zeros((28, 27), np.uint8)), "is 27 x 28 of 8 bits, grey"),
        (bare_png(60_000, 60_000, 8, bytes(1 << 20)), "is 60000 x 60000 of 8 bits"),
        (
            png(GREY, save_all=True, append_images=[Image.fromarray(255 - GREY)]),
            "is animated; must be one image",
        ),
        (png(GREY)[:-30], "damaged PNG: "),
        (png(GREY)[:20], "is no PNG"),
        (b"", "is no PNG"),
        (b"GIF89a" + bytes(100), "is no PNG"),
        (png(GREY) + bytes(1 << 20), "larger than 1048576 bytes"),
    ],
    ids=[
        "deep",
        "4bit",
        "1bit",
        "rgb",
        "rgba",
        "narrow",
        "bomb",
        "animated",
        "cut",
        "stump",
        "empty",
        "gif",
        "large",
    ],
)
def test_a_png_that_is_not_28_by_28_of_8_bits_grey(tmp_path: Path, content: bytes, problem: str) -> None:
    folder = folders(tmp_path / "digits", ROWS)
    (folder / "3").mkdir(exist_ok=True)
    (folder / "3" / "new.png").write_bytes(content)
    refused(DataError, [folder], rf"digits/3/new\.png: {problem}")


def test_a_palette_is_not_grey(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    Image.fromarray(GREY).convert("P").save(tmp_path / "0" / "a.png")
    refused(DataError, [tmp_path], "is 28 x 28 of 8 bits, palette; must be 28 x 28 of 8 bits, grey")


def refused(kind: type[PipelineError], paths: list[Path], problem: str) -> None:
    with pytest.raises(kind, match=problem) as error:
        formats.read(paths)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_folders_that_are_no_digits(tmp_path: Path) -> None:
    folder = folders(tmp_path / "digits", ROWS)
    (folder / "10").mkdir()
    refused(DataError, [folder], "has a folder '10', folders of digits are 0 to 9")
    (folder / "10").rmdir()
    (folder / "3" / "more").mkdir(parents=True)
    refused(DataError, [folder], "digits/3/more: is no file")
    (tmp_path / "none" / "0").mkdir(parents=True)
    refused(DataError, [tmp_path / "none"], "0 files in its folders 0 to 9, must be from 1 to 1000000")


def test_more_idx_files_than_a_pair(tmp_path: Path) -> None:
    idx_pair(tmp_path, ROWS)
    (tmp_path / "more-labels").write_bytes((tmp_path / "labels-idx1-ubyte").read_bytes())
    refused(UsageError, [tmp_path], "holds 3 IDX files .*; name the two that you mean")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda images, labels: (images, labels[:-1]), "size 27 bytes, expected 28"),
        (lambda images, labels: (images[:-784], labels), "size 14912 bytes, expected 15696"),
        (lambda images, labels: (images, labels[:-1] + b"\x0a"), "label 10 in row 19, expected 0 to 9"),
        (lambda images, labels: (images, labels[:4] + b"\0\0\0\x13" + labels[8:-1]), r"labels are \[19\], m"),
        (lambda images, labels: (images[:4] + bytes(4) + images[8:16], labels), "0 images, must be from 1"),
        (lambda images, labels: (images[:8] + b"\0\0\0\x1b" + images[12:], labels), r"shape \(27, 28\), exp"),
        (lambda images, labels: (images, images), "are both images"),
        (lambda images, labels: (labels, labels), "are neither of them images"),
        (lambda images, labels: (images, b""), "0 bytes, expected a header"),
        (lambda images, labels: (gzip.compress(images)[:-5], labels), "damaged gzip"),
    ],
    ids=["labels", "images", "ten", "counts", "empty", "size", "twice", "no-images", "nothing", "gzip"],
)
def test_an_idx_pair_that_does_not_fit_together(
    tmp_path: Path, change: Callable[[bytes, bytes], tuple[bytes, bytes]], problem: str
) -> None:
    images, labels = idx_pair(tmp_path, ROWS)
    changed = change(gzip.decompress(images.read_bytes()), labels.read_bytes())
    for path, content in zip((images, labels), changed, strict=True):
        path.write_bytes(content)
    refused(DataError, [images, labels], problem)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"images": ROWS.images}, "holds images; must hold images and labels or x and y"),
        ({}, "holds nothing; must"),
        ({"x": ROWS.images[:0], "y": ROWS.labels[:0]}, "0 images, must be from 1"),
        ({"x": ROWS.images[:, :27], "y": ROWS.labels}, r"images are \[20, 27, 28\], must be \[N, 28, 28\]"),
        ({"x": ROWS.images, "y": ROWS.labels[:-1]}, r"labels are \[19\], must be one for each of 20"),
        ({"x": ROWS.images, "y": np.full(20, 10)}, "labels: 10 is among them, must be from 0 to 9"),
        ({"x": ROWS.images, "y": np.full(20, -1)}, "labels: -1 is among them"),
        ({"x": ROWS.images + np.uint16(1), "y": ROWS.labels}, "pixels: 256 is among them"),
        ({"x": ROWS.images / 255, "y": ROWS.labels}, "holds float64, must hold whole numbers"),
        ({"x": ROWS.images > 0, "y": ROWS.labels}, "holds bool, must hold whole numbers"),
    ],
    ids=["half", "empty", "rows", "size", "counts", "ten", "negative", "deep", "float", "bool"],
)
def test_an_npz_of_something_else(tmp_path: Path, arrays: dict[str, Any], problem: str) -> None:
    refused(DataError, [npz(tmp_path / "digits.npz", **arrays)], problem)


class Payload:
    """Unpickled, it makes a directory."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, (self.path,)


def test_pickled_objects_are_never_unpickled(tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "digits.npz"
    objects = np.array([Payload(marker)], dtype=object)
    npz(path, images=objects, labels=ROWS.labels)
    refused(DataError, [path], "images.npy: holds object, must hold whole numbers")
    npz(path, images=ROWS.images, labels=objects)
    refused(DataError, [path], "labels.npy: holds object")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", pickle.dumps(Payload(marker)))
        archive.writestr("labels.npy", pickle.dumps(Payload(marker)))
    refused(DataError, [path], "images.npy: is no array")
    path.write_bytes(pickle.dumps(Payload(marker)))
    refused(UsageError, [path], "must be an IDX pair")
    assert not marker.exists()
    npz(path, images=objects, labels=ROWS.labels)
    with np.load(path, allow_pickle=True) as arrays:
        arrays["images"]
    assert marker.exists()  # so the payload is one


def test_an_npz_that_claims_more_than_it_holds_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    for shape, problem in (
        ("(1000000, 28, 28)", r"15680 bytes of 784000000 for \[1000000, 28, 28\]"),
        ("(10000000000000, 28, 28)", "more than 1000000 images"),
        ("(-1, 28, 28)", "more than 1000000 images"),
    ):
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
        with zipfile.ZipFile(path, "w") as archive:
            array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
            archive.writestr("images.npy", array + ROWS.images.tobytes())
            archive.writestr("labels.npy", b"")
        refused(DataError, [path], problem)


@pytest.mark.parametrize("form", ["npz", "png", "idx"])
def test_whatever_bit_is_damaged_it_is_one_line_or_still_digits(tmp_path: Path, form: str) -> None:
    if form == "npz":
        path = npz(tmp_path / "digits.npz", images=ROWS.images[:1], labels=ROWS.labels[:1])
        paths = [path]
    elif form == "png":
        paths = [tmp_path]
        path = tmp_path / "0" / "a.png"
        path.parent.mkdir()
        path.write_bytes(png(GREY))
    else:
        path, labels = idx_pair(tmp_path, Labelled(ROWS.images[:1], ROWS.labels[:1]))
        paths = [path, labels]
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    outcomes = set()
    for _ in range(400):
        content = bytearray(whole)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            content[place] ^= 1 << random.integers(0, 8)
        path.write_bytes(content if random.random() < 0.8 else content[: random.integers(0, len(content))])
        try:
            assert formats.read(paths).images.shape == (1, 28, 28)
            outcomes.add("digits")
        except PipelineError as error:
            assert "\n" not in str(error)  # whichever it is
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["none"], "none: none does not exist|none does not exist"),
        (["a.txt"], "must be an IDX pair, a folder of them"),
        (["a.txt", "a.txt", "a.txt"], "must be an IDX pair"),
    ],
)
def test_files_that_are_no_digits(tmp_path: Path, names: list[str], problem: str) -> None:
    (tmp_path / "a.txt").write_text("hello", encoding="utf-8")
    refused(UsageError, [tmp_path / name for name in names], problem)
