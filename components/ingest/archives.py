"""The four archives of a dataset: TFDS names them, its registered checksums verify them.

Nothing else but `download` imports TFDS. Its `prepare` is not used: it encodes 70,000 PNGs, 20 s of CPU.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from components.batches import idx
from components.errors import DataError, UsageError

TRAIN_ROWS, TEST_ROWS = 60_000, 10_000  # of every dataset of this family, as their archives' own headers say

_ROLES = {
    "train-images-idx3-ubyte.gz": "train_data",
    "train-labels-idx1-ubyte.gz": "train_labels",
    "t10k-images-idx3-ubyte.gz": "test_data",
    "t10k-labels-idx1-ubyte.gz": "test_labels",
}
_READERS: dict[str, tuple[Callable[[bytes, int, str], NDArray[np.uint8]], int, int]] = {
    "train_data": (idx.images_from, TRAIN_ROWS, idx.images_size(TRAIN_ROWS)),
    "train_labels": (idx.labels_from, TRAIN_ROWS, idx.labels_size(TRAIN_ROWS)),
    "test_data": (idx.images_from, TEST_ROWS, idx.images_size(TEST_ROWS)),
    "test_labels": (idx.labels_from, TEST_ROWS, idx.labels_size(TEST_ROWS)),
}


@dataclasses.dataclass(frozen=True)
class Archive:
    """One registered archive.

    Attributes:
      role: train_data, train_labels, test_data or test_labels.
      url: its source.
      filename: its name in a mirror.
      size: bytes.
      sha256: hex.
    """

    role: str
    url: str
    filename: str
    size: int
    sha256: str


def registered(dataset: str) -> list[Archive]:
    """Returns the archives that TFDS registers for an MNIST-like dataset.

    Raises:
      UsageError: the installed TFDS knows the dataset by other archives than this code does.
    """
    infos = tfds.builder_cls(dataset).url_infos
    archives = [
        Archive(
            role=_ROLES.get(url.rpartition("/")[2], ""),
            url=url,
            filename=url.rpartition("/")[2],
            size=int(info.size),
            sha256=info.checksum,
        )
        for url, info in infos.items()
    ]
    if sorted(archive.role for archive in archives) != sorted(_READERS):
        raise UsageError(
            f"tensorflow-datasets {tfds.__version__}: registers {', '.join(infos) or 'nothing'} for "
            f"{dataset}, not {', '.join(_ROLES)}; install the version that is locked"
        )
    return sorted(archives, key=lambda archive: list(_READERS).index(archive.role))


def unpacked_size(archive: Archive) -> int:
    """Returns how many bytes an archive must unpack to."""
    return _READERS[archive.role][2]


def verified(archive: Archive, path: Path, origin: str) -> Path:
    """Returns `path` if it has the registered size and SHA-256.

    Args:
      archive: which.
      path: where it is.
      origin: what to call the place it came from in an error.

    Raises:
      DataError: it has not; the message says what the file is instead.
    """
    size, sha256 = path.stat().st_size, ""
    if size != archive.size:
        difference = f"{size} bytes, expected {archive.size}"
    else:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        difference = f"sha256 {sha256}, expected {archive.sha256}"
    if sha256 == archive.sha256:
        return path
    try:
        read(archive, path)
    except DataError as error:
        reason = str(error).removeprefix(f"{path.name}: ")
    else:
        reason = "readable, but not the registered archive"
    raise DataError(f"{origin.rstrip('/')}/{path.name}: {difference}; {reason}")


def read(archive: Archive, path: Path) -> NDArray[np.uint8]:
    """Unpacks and checks an archive.

    Returns:
      uint8 images [N, 28, 28], or labels [N].

    Raises:
      DataError: anything in it is not as the format and the dataset's counts say.
    """
    parse, rows, size = _READERS[archive.role]
    return parse(idx.unpack(path, size), rows, path.name)
