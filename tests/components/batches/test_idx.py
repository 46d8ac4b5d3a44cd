import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from components.batches import idx
from components.errors import DataError

IMAGES = struct.pack(">4I", 0x803, 3, 28, 28) + bytes(3 * 784)
LABELS = struct.pack(">2I", 0x801, 12) + bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])


def test_images_are_a_view_in_their_order() -> None:
    pixels = np.arange(3 * 784, dtype=np.uint32).astype(np.uint8)
    images = idx.images_from(IMAGES[:16] + pixels.tobytes(), 3, "images.gz")
    np.testing.assert_array_equal(images, pixels.reshape(3, 28, 28))
    assert images.dtype == np.uint8
    assert not images.flags.writeable


def test_labels_are_a_view_in_their_order() -> None:
    assert idx.labels_from(LABELS, 12, "labels.gz").tolist() == list(LABELS[8:])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "0 bytes, expected a header of 16"),
        (IMAGES[:15], "15 bytes, expected a header of 16"),
        (struct.pack(">I", 0x801) + IMAGES[4:], "magic 0x00000801, expected 0x00000803"),
        (struct.pack(">2I", 0x803, 2) + IMAGES[8:], "images 2, expected 3"),
        (struct.pack(">4I", 0x803, 3, 14, 56) + IMAGES[16:], r"image shape \(14, 56\), expected \(28, 28\)"),
        (IMAGES[:-1], "size 2367 bytes, expected 2368 bytes"),
        (IMAGES + b"\0", "size 2369 bytes, expected 2368 bytes"),
    ],
)
def test_images_that_are_not_as_promised_are_refused(content: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=rf"^images\.gz: {problem}$"):
        idx.images_from(content, 3, "images.gz")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (LABELS[:7], "7 bytes, expected a header of 8"),
        (struct.pack(">I", 0x803) + LABELS[4:], "magic 0x00000803, expected 0x00000801"),
        (struct.pack(">2I", 0x801, 13) + LABELS[8:], "labels 13, expected 12"),
        (LABELS[:-1], "size 19 bytes, expected 20 bytes"),
        (LABELS + b"\0", "size 21 bytes, expected 20 bytes"),
        (LABELS[:-1] + b"\x0a", "label 10 in row 11, expected 0 to 9"),
        (LABELS[:10] + b"\1" + LABELS[11:], "no row of class 2, expected all of 0 to 9"),
    ],
)
def test_labels_that_are_not_as_promised_are_refused(content: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=rf"^labels\.gz: {problem}$"):
        idx.labels_from(content, 12, "labels.gz")


def archive(directory: Path, content: bytes) -> Path:
    path = directory / "labels.gz"
    path.write_bytes(content)
    return path


def test_unpacking_returns_the_content(tmp_path: Path) -> None:
    assert idx.unpack(archive(tmp_path, gzip.compress(LABELS)), len(LABELS)) == LABELS


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not here</html>",
        gzip.compress(LABELS)[:-9],
        gzip.compress(LABELS)[:-1],
        flipped(gzip.compress(LABELS), -8),
        flipped(gzip.compress(LABELS), 14),
        gzip.compress(LABELS) + b"trailing",
    ],
    ids=["empty", "html", "truncated", "no-trailer", "crc", "bit", "trailing"],
)
def test_a_damaged_gzip_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"^labels\.gz: ") as error:
        idx.labels_from(idx.unpack(archive(tmp_path, content), len(LABELS)), 12, "labels.gz")
    assert "\n" not in str(error.value)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = archive(tmp_path, gzip.compress(bytes(1 << 26)))
    with pytest.raises(DataError, match=r"labels\.gz: unpacks to more than 20 bytes"):
        idx.unpack(bomb, 20)
