"""The IDX format, as of the original archives: unpacked within a bound, checked, and viewed as arrays.

    labels = labels_from(unpack(path, labels_size(60_000)), 60_000, path.name)

`numpy.frombuffer` accepts a truncated file, so the magic, the counts and the size are checked here.
Source: http://yann.lecun.com/exdb/mnist/, "File formats for the MNIST database".
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.dataset import class_counts
from components.errors import DataError
from components.model.contract import CLASSES, IMAGE_SHAPE, PIXELS

_IMAGES_HEADER = struct.Struct(">4I")  # magic, images, rows, columns
_LABELS_HEADER = struct.Struct(">2I")  # magic, labels
_IMAGES_MAGIC = 0x00000803  # unsigned bytes, three dimensions
_LABELS_MAGIC = 0x00000801


def images_size(count: int) -> int:
    """Returns the unpacked size in bytes of an archive of `count` images."""
    return _IMAGES_HEADER.size + count * PIXELS


def labels_size(count: int) -> int:
    """Returns the unpacked size in bytes of an archive of `count` labels."""
    return _LABELS_HEADER.size + count


def unpack(path: Path, size: int) -> bytes:
    """Unpacks a gzip file, and never more than one byte beyond `size`.

    Raises:
      DataError: not gzip, truncated, a wrong CRC, or more than `size` bytes inside.
    """
    try:
        with gzip.open(path) as archive:
            content = archive.read(size + 1)  # reading past the end is what checks the CRC
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path.name}: damaged gzip: {_first_line(error)}") from error
    if len(content) > size:
        raise DataError(f"{path.name}: unpacks to more than {size} bytes, expected {size}")
    return content


def images_in(content: bytes, name: str) -> NDArray[np.uint8]:
    """Views IDX content as raw images.

    Args:
      content: unpacked.
      name: what to call it in an error.

    Returns:
      uint8 [N, 28, 28], read-only; N is what the header says.

    Raises:
      DataError: another magic, shape, or a size that does not fit the count.
    """
    _, count, height, width = _header(_IMAGES_HEADER, content, name)
    _expect_magic(content, _IMAGES_MAGIC, name)
    _expect(name, "image shape", (height, width), IMAGE_SHAPE)
    _expect(name, "size", f"{len(content)} bytes", f"{images_size(count)} bytes")
    return np.frombuffer(content, np.uint8, offset=_IMAGES_HEADER.size).reshape(count, *IMAGE_SHAPE)


def labels_in(content: bytes, name: str) -> NDArray[np.uint8]:
    """Views IDX content as labels.

    Args:
      content: unpacked.
      name: what to call it in an error.

    Returns:
      uint8 [N] in 0..9, read-only; N is what the header says.

    Raises:
      DataError: another magic, a size that does not fit the count, or a label out of range.
    """
    _, count = _header(_LABELS_HEADER, content, name)
    _expect_magic(content, _LABELS_MAGIC, name)
    _expect(name, "size", f"{len(content)} bytes", f"{labels_size(count)} bytes")
    labels = np.frombuffer(content, np.uint8, offset=_LABELS_HEADER.size)
    if count and labels.max() >= CLASSES:
        row = int(np.argmax(labels >= CLASSES))
        raise DataError(f"{name}: label {labels[row]} in row {row}, expected 0 to {CLASSES - 1}")
    return labels


def images_from(content: bytes, count: int, name: str) -> NDArray[np.uint8]:
    """As `images_in`, of an archive that must hold `count` images."""
    _, found, *_ = _header(_IMAGES_HEADER, content, name)
    _expect_magic(content, _IMAGES_MAGIC, name)
    _expect(name, "images", found, count)
    return images_in(content, name)


def labels_from(content: bytes, count: int, name: str) -> NDArray[np.uint8]:
    """As `labels_in`, of an archive that must hold `count` labels and some of every class."""
    _, found = _header(_LABELS_HEADER, content, name)
    _expect_magic(content, _LABELS_MAGIC, name)
    _expect(name, "labels", found, count)
    labels = labels_in(content, name)
    absent = [digit for digit, rows in enumerate(class_counts(labels)) if not rows]
    if absent:
        raise DataError(f"{name}: no row of class {absent[0]}, expected all of 0 to {CLASSES - 1}")
    return labels


def holds_images(content: bytes) -> bool:
    """Says whether IDX content is images, by its magic."""
    return content[:4] == _IMAGES_MAGIC.to_bytes(4, "big")


def _expect_magic(content: bytes, magic: int, name: str) -> None:
    _expect(name, "magic", f"0x{int.from_bytes(content[:4], 'big'):08x}", f"0x{magic:08x}")


def _header(header: struct.Struct, content: bytes, name: str) -> tuple[int, ...]:
    if len(content) < header.size:
        raise DataError(f"{name}: {len(content)} bytes, expected a header of {header.size}")
    return header.unpack_from(content)


def _expect(name: str, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise DataError(f"{name}: {what} {found}, expected {expected}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
