"""Files as people have them, read as labelled digits: an IDX pair, folders of PNG named 0 to 9, or one .npz.

    read([Path("train-images-idx3-ubyte.gz"), Path("train-labels-idx1-ubyte.gz")])
    read([Path("digits")])       # digits/0/*.png … digits/9/*.png, or an IDX pair in a folder
    read([Path("digits.npz")])   # arrays images and labels, or x and y

What is read is bounded before it is unpacked, and nothing in it is ever executed.
"""

import gzip
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.batches import idx
from components.batches.labelled import MAX_ROWS, Labelled, checked
from components.errors import DataError, UsageError
from components.model.contract import CLASSES, IMAGE_SHAPE

FORMS = "an IDX pair, a folder of them, a folder with folders 0 to 9 of PNG, or one .npz"
_MAX_BYTES = idx.images_size(MAX_ROWS)
_MAX_PNG_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_IDX_MAGICS = (b"\x00\x00\x08\x01", b"\x00\x00\x08\x03")
_NPZ_NAMES = (("images", "labels"), ("x", "y"), ("x_train", "y_train"), ("x_test", "y_test"))


def read(paths: Sequence[Path]) -> Labelled:
    """Reads labelled digits.

    Args:
      paths: one of FORMS.

    Raises:
      UsageError: the files are none of FORMS, or cannot be read.
      DataError: they are damaged, do not fit together, or hold other than 28 x 28 images of 8 bits.
    """
    try:
        return _read(paths)
    except OSError as error:
        raise UsageError(f"{error.filename or paths[0]}: cannot be read: {error.strerror}") from None


def _read(paths: Sequence[Path]) -> Labelled:
    if len(paths) == 2 and all(path.is_file() for path in paths):
        return _idx_pair(paths)
    if len(paths) == 1 and paths[0].is_dir():
        return _folder(paths[0])
    if len(paths) == 1 and zipfile.is_zipfile(paths[0]):
        return _npz(paths[0])
    shown = " ".join(map(str, paths))
    missing = [path for path in paths if not path.exists()]
    reason = f"{missing[0]} does not exist" if missing else f"must be {FORMS}"
    raise UsageError(f"{shown[:200]}: {reason}")


def _folder(directory: Path) -> Labelled:
    classes = [directory / str(digit) for digit in range(CLASSES)]
    if any(folder.is_dir() for folder in classes):
        return _png_folders(directory)
    found = [path for path in sorted(directory.iterdir()) if path.is_file() and _is_idx(path)]
    if len(found) == 2:
        return _idx_pair(found)
    names = ", ".join(path.name for path in found)
    raise UsageError(f"{directory}: holds {len(found)} IDX files ({names[:200]}); name the two that you mean")


def _is_idx(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_GZIP):
        try:
            with gzip.open(path) as archive:
                start = archive.read(4)
        except (gzip.BadGzipFile, zlib.error, EOFError):
            return True  # it is meant to be something; reading it says what is wrong
    return start in _IDX_MAGICS


def _idx_pair(paths: Sequence[Path]) -> Labelled:
    contents = {path: _unpacked(path) for path in paths}
    images = [path for path, content in contents.items() if idx.holds_images(content)]
    if len(images) != 1:
        what = "are both images" if images else "are neither of them images"
        raise DataError(f"{paths[0]}, {paths[1]}: {what}; must be images and their labels, in IDX")
    [labels] = contents.keys() - set(images)
    return checked(
        idx.images_in(contents[images[0]], images[0].name),
        idx.labels_in(contents[labels], labels.name),
        f"{images[0].name}, {labels.name}",
    )


def _unpacked(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if content.startswith(_GZIP):
        return idx.unpack(path, _MAX_BYTES)
    if len(content) > _MAX_BYTES:
        raise DataError(f"{path.name}: larger than {_MAX_BYTES} bytes, which {MAX_ROWS} images have")
    return content


def _npz(path: Path) -> Labelled:
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > 10 * _MAX_BYTES:  # pixels may be whole numbers of up to eight bytes
        raise DataError(f"{path.name}: unpacks to {size} bytes, must be at most {10 * _MAX_BYTES}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for images, labels in _NPZ_NAMES:
                if images in arrays and labels in arrays:
                    return checked(_array(arrays, images), _array(arrays, labels), path.name)
            held = ", ".join(arrays)
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path.name}: is no archive of plain arrays: {reason}") from None
    wanted = " or ".join(f"{images} and {labels}" for images, labels in _NPZ_NAMES)
    raise DataError(f"{path.name}: holds {held[:120] or 'nothing'}; must hold {wanted}")


def _array(arrays: "np.lib.npyio.NpzFile", name: str) -> NDArray[np.generic]:
    array: NDArray[np.generic] = arrays[name]
    return array


def _png_folders(directory: Path) -> Labelled:
    files = [
        (path, digit)
        for digit in range(CLASSES)
        for path in sorted((directory / str(digit)).glob("*"))
        if path.is_file()
    ]
    if not 1 <= len(files) <= MAX_ROWS:
        found = f"{len(files)} files in its folders 0 to 9"
        raise DataError(f"{directory}: {found}, must be from 1 to {MAX_ROWS}")
    images = np.empty((len(files), *IMAGE_SHAPE), np.uint8)
    for row, (path, _) in enumerate(files):
        images[row] = _png(path)
    return checked(images, np.array([digit for _, digit in files], np.uint8), str(directory))


def _png(path: Path) -> NDArray[np.uint8]:
    """Returns a PNG's pixels; its size and depth are looked at before anything is unpacked."""
    from PIL import Image, UnidentifiedImageError

    if path.stat().st_size > _MAX_PNG_BYTES:
        raise DataError(f"{path}: larger than {_MAX_PNG_BYTES} bytes")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.size != IMAGE_SHAPE[::-1] or image.mode != "L" or getattr(image, "n_frames", 1) != 1:
                found = f"{image.width} x {image.height} in mode {image.mode}"
                raise DataError(f"{path}: is {found}, must be one image of 28 x 28 grey values of 8 bits (L)")
            return np.asarray(image)
    except UnidentifiedImageError:
        raise DataError(f"{path}: is no PNG") from None
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: damaged PNG: {' '.join(str(error).split())[:120]}") from None
