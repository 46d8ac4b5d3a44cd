"""The files of a model directory: their digests, and the one hash that names the whole."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from components.errors import DataError
from components.model.contract import GRAPH_FILE
from components.storage.digests import Digest, digest_file

LARGE_BYTES = 8 << 20  # from here on, a file is worth a thread
AT_ONCE = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ModelFile:
    """One file of a model: its path inside the model directory, segments parted by `/`, and its content."""

    path: str
    digest: Digest


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
