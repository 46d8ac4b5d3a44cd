"""The files of a model directory: their digests, and the one hash that names the whole."""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from components.errors import DataError

CHUNK_BYTES = 1 << 20
LARGE_BYTES = 8 << 20  # from here on, a file is worth a thread
AT_ONCE = 4
GRAPH_FILE = "saved_model.pb"

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Digest:
    """What a file's content must be.

    Attributes:
      size: bytes.
      crc32c: base64 of the big-endian CRC32C, as Google Cloud Storage writes it.
      sha256: hex.
    """

    size: int
    crc32c: str
    sha256: str


@dataclass(frozen=True)
class ModelFile:
    """One file of a model: its path inside the model directory, segments parted by `/`, and its content."""

    path: str
    digest: Digest


class Digester:
    """A sink that digests what is written to it: `write(chunk)`, then `digest()`."""

    def __init__(self) -> None:
        import google_crc32c

        self._size = 0
        self._extend = google_crc32c.extend
        self._crc32c = 0
        self._sha256 = hashlib.sha256()

    def write(self, chunk: bytes) -> int:
        """Takes in `chunk` and returns its length, as a file does."""
        self._size += len(chunk)
        self._crc32c = self._extend(self._crc32c, chunk)
        self._sha256.update(chunk)
        return len(chunk)

    def digest(self) -> Digest:
        """Returns the digest of everything written so far."""
        crc32c = base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()
        return Digest(self._size, crc32c, self._sha256.hexdigest())


def digest_bytes(data: bytes) -> Digest:
    """Returns the digest of `data`."""
    digester = Digester()
    digester.write(data)
    return digester.digest()


def digest_file(path: Path) -> Digest:
    """Returns the digest of the file at `path`, read in chunks of 1 MiB."""
    digester = Digester()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digester.write(chunk)
    return digester.digest()


def describe(model_dir: str | os.PathLike[str]) -> tuple[ModelFile, ...]:
    """Digests every file of a SavedModel directory.

    Returns:
      The files, sorted by path.

    Raises:
      DataError: no saved_model.pb, or something that is neither a regular file nor a directory.
    """
    root = Path(model_dir)
    paths = _regular_files(root)
    if GRAPH_FILE not in paths:
        raise DataError(f"model {root}: no {GRAPH_FILE}, so this is not a SavedModel")
    sizes = [(root / path).stat().st_size for path in paths]
    digests = at_once(digest_file, [root / path for path in paths], sizes)
    return tuple(ModelFile(path, digest) for path, digest in zip(paths, digests, strict=True))


def at_once(action: Callable[[Item], Result], items: Sequence[Item], sizes: Iterable[int]) -> list[Result]:
    """Runs `action` on every item: large ones in threads, and meanwhile the small ones here, one by one.

    Threads that handle small files would mostly wait for each other's interpreter lock.

    Args:
      action: what to do; its first error is raised when everything that was started has ended.
      items: files, in any form.
      sizes: their bytes, in the same order.

    Returns:
      The results, in the order of `items`.
    """
    large = [size >= LARGE_BYTES for size in sizes]
    if len(large) < 2 or not any(large):
        return [action(item) for item in items]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as threads:
        futures = {
            index: threads.submit(action, items[index]) for index, is_large in enumerate(large) if is_large
        }
        try:
            here = {index: action(item) for index, item in enumerate(items) if index not in futures}
            return [futures[i].result() if i in futures else here[i] for i in range(len(items))]
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def tree_hash(files: Iterable[ModelFile]) -> str:
    """Returns the SHA-256 (hex) over the sorted paths, sizes and SHA-256 sums of `files`.

    It depends on the paths and the contents only; a manifest can be checked against it without a download.
    """
    rows = sorted([file.path, file.digest.size, file.digest.sha256] for file in files)
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def hash_model(model_dir: str | os.PathLike[str]) -> str:
    """Returns the tree hash of a SavedModel directory; raises DataError as `describe` does."""
    return tree_hash(describe(model_dir))


def _regular_files(root: Path) -> list[str]:
    if not root.is_dir():
        raise DataError(f"model {root}: no such directory")
    paths = []
    for path in root.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DataError(f"model {root}: {path.relative_to(root)} is a link or a special file")
        if path.is_file():
            paths.append(path.relative_to(root).as_posix())
    return sorted(paths)
