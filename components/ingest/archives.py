"""The four archives of a dataset: TFDS names them, its registered checksums verify them.

Nothing else in the project imports TFDS. Its `prepare` is not used: it encodes 70,000 PNGs, 20 s of CPU.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray
from tensorflow_datasets.core.download import download_manager as tfds_download

from components.batches import idx
from components.errors import DataError

TRAIN_ROWS, TEST_ROWS = 60_000, 10_000  # of every dataset of this family, as their archives' own headers say

NonMatchingChecksumError = tfds_download.NonMatchingChecksumError

# The keys are the TFDS builder's own.
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
    """Returns the archives that the TFDS builder of an MNIST-like dataset reads."""
    builder_class = tfds.builder_cls(dataset)
    asked = _Recorder()
    # Not initialised: a builder's __init__ leaves a folder in /tmp, and the URLs are its class's.
    builder_class._split_generators(builder_class.__new__(builder_class), asked)
    infos = builder_class.url_infos
    return [
        Archive(
            role=role,
            url=url,
            filename=infos[url].filename or url.rpartition("/")[2],
            size=int(infos[url].size),
            sha256=infos[url].checksum,
        )
        for role, url in asked.urls.items()
    ]


def download_manager(dataset: str, scratch_dir: Path, archives_dir: Path | None) -> Any:
    """Returns TFDS's download manager.

    It takes from `archives_dir` what is there, keeps its cache under `scratch_dir`, and refuses whatever
    has another size or SHA-256 than the registered one.
    """
    tfds.disable_progress_bar()
    return tfds.download.DownloadManager(
        download_dir=scratch_dir / "downloads",
        manual_dir=archives_dir,
        url_infos=tfds.builder_cls(dataset).url_infos,
        force_checksums_validation=True,
        dataset_name=dataset,
    )


def verified(archive: Archive, manager: Any, archives_dir: Path | None, origin: str) -> Path:
    """Returns the path of an archive that has its registered size and SHA-256.

    Args:
      archive: which.
      manager: from `download_manager`, with the same `archives_dir`.
      archives_dir: where the archive is; None when it is in the manager's cache.
      origin: what to call the place it came from in an error.

    Raises:
      DataError: it has not; the message says what the file is instead.
    """
    path = archives_dir / archive.filename if archives_dir else None
    if path and path.stat().st_size != archive.size:
        raise _mismatch(archive, path, origin)
    try:
        return Path(manager.download(archive.url))
    except NonMatchingChecksumError as error:
        if path:
            raise _mismatch(archive, path, origin) from None
        raise not_registered(archive) from error


def not_registered(archive: Archive) -> DataError:
    """Returns the error for a download whose content is gone by now."""
    return DataError(f"{archive.url}: not the registered {archive.size} bytes with sha256 {archive.sha256}")


def read(archive: Archive, path: Path) -> NDArray[np.uint8]:
    """Unpacks and checks an archive.

    Returns:
      uint8 images [N, 28, 28], or labels [N].

    Raises:
      DataError: anything in it is not as the format and the dataset's counts say.
    """
    parse, rows, size = _READERS[archive.role]
    return parse(idx.unpack(path, size), rows, path.name)


class _Recorder:
    """Stands where the builder expects a download manager, to learn which URLs it asks for."""

    def download_and_extract(self, urls: dict[str, str]) -> dict[str, str]:
        self.urls = urls
        return urls


def _mismatch(archive: Archive, path: Path, origin: str) -> DataError:
    size = path.stat().st_size
    if size != archive.size:
        difference = f"{size} bytes, expected {archive.size}"
    else:
        with path.open("rb") as file:
            difference = (
                f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}, expected {archive.sha256}"
            )
    try:
        read(archive, path)
    except DataError as error:
        reason = str(error).removeprefix(f"{path.name}: ")
    else:
        reason = "readable, but not the registered archive"
    return DataError(f"{origin.rstrip('/')}/{archive.filename}: {difference}; {reason}")
