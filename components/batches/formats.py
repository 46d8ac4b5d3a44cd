"""Files as people have them, read as labelled digits: an IDX pair, folders of PNG named 0 to 9, or one .npz.

    read([Path("train-images-idx3-ubyte.gz"), Path("train-labels-idx1-ubyte.gz")])
    read([Path("digits")])       # digits/0/*.png … digits/9/*.png, or an IDX pair in a folder
    read([Path("digits.npz")])   # arrays images and labels, or x and y

What is read is bounded before it is unpacked, and nothing in it is ever executed.
"""

import gzip
import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from components.batches import idx
from components.batches.labelled import MAX_ROWS, Labelled, checked
from components.errors import DataError, UsageError
from components.model.contract import CLASSES, IMAGE_SHAPE

FORMS = "an IDX pair, a folder of them, a folder with folders 0 to 9 of PNG, or one .npz"
_MAX_BYTES = idx.images_size(MAX_ROWS)
_MAX_PNG_BYTES = 1 << 20
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = struct.Struct(">8sI4sIIBB")  # signature; length and name of the first chunk; size, bits, colour
_GREY = 0
_COLOURS = {_GREY: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
_CLASS_NAMES = frozenset(str(digit) for digit in range(CLASSES))
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
        reason = error.strerror or error
        raise UsageError(f"{error.filename or paths[0]}: cannot be read: {reason}") from None


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
    if any((directory / name).is_dir() for name in _CLASS_NAMES):
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
    try:
        with zipfile.ZipFile(path) as archive:
            held = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            for images, labels in _NPZ_NAMES:
                if images in held and labels in held:
                    return checked(
                        _array(archive, held[images], path.name),
                        _array(archive, held[labels], path.name),
                        path.name,
                    )
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
    ) as error:  # the last: encrypted, unsupported
        raise DataError(f"{path.name}: damaged archive: {_short(error)}") from None
    wanted = " or ".join(f"{images} and {labels}" for images, labels in _NPZ_NAMES)
    raise DataError(f"{path.name}: holds {', '.join(held)[:120] or 'nothing'}; must hold {wanted}")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> NDArray[np.generic]:
    """Reads one array; type and size are looked at before it is unpacked, and nothing is unpickled."""
    where = f"{where}: {member.filename}"
    with archive.open(member) as file:
        try:
            shape, fortran_order, dtype = _npy_header(file)
        except (ValueError, tokenize.TokenError) as error:
            raise DataError(f"{where}: is no array: {_short(error)}") from None
        if dtype.kind not in "ui":  # an object's would be pickled
            raise DataError(f"{where}: holds {str(dtype)[:60]}, must hold whole numbers")
        size = math.prod(shape) * dtype.itemsize
        if not 0 <= size <= _MAX_BYTES * dtype.itemsize or any(length < 0 for length in shape):
            raise DataError(f"{where}: is {list(shape)[:8]}, more than {MAX_ROWS} images")
        content = file.read(size + 1)
    if len(content) != size:
        raise DataError(f"{where}: {len(content)} bytes of {size} for {list(shape)[:8]} of {dtype}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(file)
    return header


def _png_folders(directory: Path) -> Labelled:
    folders = sorted(path for path in directory.iterdir() if path.is_dir() and _is_seen(path))
    strangers = [folder.name for folder in folders if folder.name not in _CLASS_NAMES]
    if strangers:
        raise DataError(
            f"{directory}: has a folder {strangers[0][:60]!r}, folders of digits are 0 to {CLASSES - 1}"
        )
    files = [
        (path, int(folder.name)) for folder in folders for path in sorted(folder.iterdir()) if _is_seen(path)
    ]
    if not 1 <= len(files) <= MAX_ROWS:
        found = f"{len(files)} files in its folders 0 to 9"
        raise DataError(f"{directory}: {found}, must be from 1 to {MAX_ROWS}")
    images = np.empty((len(files), *IMAGE_SHAPE), np.uint8)
    for row, (path, _) in enumerate(files):
        images[row] = _png(path)
    return checked(images, np.array([digit for _, digit in files], np.uint8), str(directory))


def _is_seen(path: Path) -> bool:
    """Desktops leave hidden files beside people's own, such as .DS_Store."""
    return not path.name.startswith(".")


def _png(path: Path) -> NDArray[np.uint8]:
    """Returns a PNG's pixels; its size and depth are looked at before anything is unpacked."""
    from PIL import Image

    if not path.is_file():
        raise DataError(f"{path}: is no file")
    with path.open("rb") as file:
        content = file.read(_MAX_PNG_BYTES + 1)
    if len(content) > _MAX_PNG_BYTES:
        raise DataError(f"{path}: larger than {_MAX_PNG_BYTES} bytes")
    if not content.startswith(_PNG) or len(content) < _PNG_HEADER.size:
        raise DataError(f"{path}: is no PNG")
    # Looked at here, for the library calls 2 and 4 bits of grey 8.
    _, _, _, width, height, bits, colour = _PNG_HEADER.unpack_from(content)
    if (height, width, bits, colour) != (*IMAGE_SHAPE, 8, _GREY):
        found = f"{width} x {height} of {bits} bits, {_COLOURS.get(colour, 'unknown')}"
        raise DataError(f"{path}: is {found}; must be 28 x 28 of 8 bits, grey")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if getattr(image, "n_frames", 1) != 1:
                raise DataError(f"{path}: is animated; must be one image")
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:
        raise DataError(f"{path}: damaged PNG: {_short(error)}") from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
