"""A mirror that is a directory, as people have it: archives unpacked, under other names, in torch's folders.

A file is taken for what it holds, never for what it is called. The checksums that are registered are those of
packed archives, so an unpacked one is taken only where its packed twin is at hand and holds the same bytes.
"""

import functools
import gzip
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from components.errors import StorageError, quoted
from components.ingest.archives import Archive, unpacked_size

_TORCH = "raw"  # torchvision keeps MNIST/raw, FashionMNIST/raw, KMNIST/raw


def find(
    mirror: str, folder: Path, archives: Iterable[Archive], twins: Mapping[Archive, Path]
) -> dict[Archive, Path]:
    """Returns where each archive is: under its own name, unverified, or under any other, by its content.

    Args:
      mirror: what an error calls the folder.
      folder: where to look, and in torch's folders below it.
      archives: what to look for.
      twins: packed archives that are at hand.

    Raises:
      StorageError: there is no such directory, or it lacks an archive; says what is there in its place.
    """
    if not folder.is_dir():
        raise StorageError(f"mirror={quoted(mirror)}: no such directory")
    found: dict[Archive, Path] = {}
    absent = []
    files = _Files(folder)
    for archive in archives:
        own = folder / archive.filename
        path = own if own.is_file() else files.holding(archive, twins.get(archive))
        if path:
            found[archive] = path
        else:
            absent.append(f"{archive.filename}{files.lookalike(archive)}")
    if absent:
        raise StorageError(f"mirror={quoted(mirror)}: lacks {', '.join(absent)}")
    return found


class _Files:
    """The files where people keep archives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @functools.cached_property
    def _sizes(self) -> dict[Path, int]:
        places = [self._folder, self._folder / _TORCH, *sorted(self._folder.glob(f"*/{_TORCH}"))]
        files = (path for place in places if place.is_dir() for path in sorted(place.iterdir()))
        return {path: path.stat().st_size for path in files if path.is_file()}

    def holding(self, archive: Archive, twin: Path | None) -> Path | None:
        """Returns the file with the archive's bytes, or the twin of one with what the archive unpacks to."""
        for path in self._of_size(archive.size):
            if _sha256(path) == archive.sha256:
                return path
        if twin:
            for path in self._of_size(unpacked_size(archive)):
                if path.read_bytes() == gzip.decompress(twin.read_bytes()):
                    return twin
        return None

    def lookalike(self, archive: Archive) -> str:
        """Says what a file of about the archive's name is instead; "" if there is none."""
        for path, size in self._sizes.items():
            if _stem(path.name) == _stem(archive.filename):
                is_unpacked = size == unpacked_size(archive)
                what = "unpacked, and only the packed one can be verified" if is_unpacked else "another file"
                return f" ({path.relative_to(self._folder)} is {what})"
        return ""

    def _of_size(self, size: int) -> Iterator[Path]:
        return (path for path, found in self._sizes.items() if found == size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stem(name: str) -> str:
    """`train-images.idx3-ubyte.gz` and `train-images-idx3-ubyte` are one."""
    return name.removesuffix(".gz").replace(".", "-")
