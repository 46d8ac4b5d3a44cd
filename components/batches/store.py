"""Labelled batches in a bucket: added whole or not at all, never changed, taken away by a tombstone.

    objects/<SHA-256>      raw bytes: images uint8 [N, 28, 28], or labels uint8 [N]
    batches/<name>.json    the manifest; written last, so a batch that is half there is none
    removed/<name>.json    a tombstone: the batch counts no more, its history stays

`listing` says which there are.
"""

import datetime
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from components.batches import drift
from components.batches.admission import Candidate
from components.batches.labelled import Labelled, RawImages
from components.batches.listing import BATCHES, REMOVED, SUFFIX, Entry, check_name, live
from components.batches.manifest import Manifest, parse
from components.errors import DataError, UsageError
from components.model.contract import CLASSES, IMAGE_SHAPE
from components.storage.bucket import Bucket, ConflictError
from components.storage.digests import Digest, Digester

OBJECTS = "objects/"
_ROWS_AT_ONCE = 4096


def read_manifest(bucket: Bucket, name: str) -> Manifest:
    """Returns a batch's manifest.

    Raises:
      UsageError: no batch can have that name.
      DataError: there is no such batch, or its manifest is damaged.
    """
    path = f"{BATCHES}{check_name(name)}{SUFFIX}"
    content = bucket.read(path)
    if content is None:
        raise DataError(f"{bucket.uri}: no batch {name}")
    return parse(content.data, f"{bucket.uri}/{path}", name)


def describe(name: str, labelled: Labelled, *, synthetic: bool = False, created: str = "") -> Manifest:
    """Returns the manifest that a batch of these rows has."""
    return Manifest(
        name=check_name(name),
        rows=len(labelled),
        class_counts=[int(count) for count in np.bincount(labelled.labels, minlength=CLASSES)],
        created=created or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        synthetic=synthetic,
        images=_digest_of(labelled.images),
        labels=_digest_of(labelled.labels),
        statistics=drift.measure(labelled.images, labelled.labels),
    )


def add(bucket: Bucket, name: str, labelled: Labelled, *, synthetic: bool = False) -> Manifest:
    """Stores a batch; a reader sees all of it or none, whenever the writer dies.

    A batch that is there with just these rows is returned as it is: that is what a writer finds who was
    interrupted after the last write, and starts again.

    Raises:
      UsageError: a name that no batch can have, or that a batch of other rows has, or any batch had.
      StorageError: the bucket is missing, refuses or does not answer.
    """
    manifest = describe(name, labelled, synthetic=synthetic)
    if (same := find_same(bucket, manifest)) is not None:
        return same
    with tempfile.TemporaryDirectory(prefix="batch-") as scratch:
        path = Path(scratch) / "rows"
        for rows, content in ((labelled.images, manifest.images), (labelled.labels, manifest.labels)):
            rows.tofile(path)
            bucket.upload(f"{OBJECTS}{content.sha256}", path, content)
    try:
        bucket.write(f"{BATCHES}{name}{SUFFIX}", manifest.encode(), generation=0)
    except ConflictError:  # another writer was first, at this moment
        return find_same(bucket, manifest) or manifest
    return manifest


def download_all(bucket: Bucket, found: Iterable[Entry], directory: Path) -> list[Candidate]:
    """Fetches every batch of a listing that counts, in its order; raises as `download` does."""
    candidates = []
    for entry in live(found):
        manifest = read_manifest(bucket, entry.name)
        candidates.append(Candidate(entry.name, download(bucket, manifest, directory), manifest.synthetic))
    return candidates


def download(bucket: Bucket, manifest: Manifest, directory: Path) -> Labelled:
    """Fetches a batch, verified, and maps it: its rows are in memory only while they are read.

    Args:
      bucket: where from.
      manifest: of the batch.
      directory: where its two files go.

    Raises:
      DataError: an object is missing or is not what the manifest says.
    """
    images = _fetched(bucket, manifest.images, directory / f"{manifest.name}.images", manifest.name)
    labels = _fetched(bucket, manifest.labels, directory / f"{manifest.name}.labels", manifest.name)
    rows = Labelled(
        np.memmap(images, np.uint8, "r", shape=(manifest.rows, *IMAGE_SHAPE)),
        np.fromfile(labels, np.uint8),
    )
    counts = np.bincount(rows.labels, minlength=CLASSES)
    if list(counts) != manifest.class_counts:
        raise DataError(
            f"{bucket.uri}: batch {manifest.name}: its labels are not those that its manifest counts"
        )
    return rows


class _Verified:
    """Keeps what arrives, up to the size that it must have, and digests it on the way."""

    def __init__(self, file: BinaryIO, expected: Digest, where: str) -> None:
        self._file = file
        self._expected = expected
        self._where = where
        self._digester = Digester()
        self._room = expected.size

    def write(self, chunk: bytes) -> int:
        self._room -= len(chunk)
        if self._room < 0:
            raise DataError(f"{self._where}: is larger than the {self._expected.size} bytes of its manifest")
        self._file.write(chunk)
        return self._digester.write(chunk)

    def check(self) -> None:
        if self._digester.digest() != self._expected:
            raise DataError(f"{self._where}: is not what its name and its manifest say")


def _fetched(bucket: Bucket, expected: Digest, path: Path, batch: str) -> Path:
    name = f"{OBJECTS}{expected.sha256}"
    with path.open("wb") as file:
        sink = _Verified(file, expected, f"{bucket.uri}/{name} of batch {batch}")
        bucket.download(name, sink)
    sink.check()
    return path


def _digest_of(rows: RawImages) -> Digest:
    digester = Digester()
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        digester.write(rows[first : first + _ROWS_AT_ONCE].tobytes())
    return digester.digest()


def find_same(bucket: Bucket, manifest: Manifest) -> Manifest | None:
    """Returns the batch of this name if its rows are these, None if there is none of this name.

    Raises:
      UsageError: it has other rows, or was removed.
    """
    name = manifest.name
    if bucket.stat(f"{BATCHES}{name}{SUFFIX}") is None:
        return None
    if bucket.stat(f"{REMOVED}{name}{SUFFIX}") is not None:
        raise UsageError(f"name={name}: {bucket.uri} had a batch of that name, which was removed")
    found = read_manifest(bucket, name)
    ours, theirs = ((each.images, each.labels, each.synthetic) for each in (manifest, found))
    if ours != theirs:
        raise UsageError(
            f"name={name}: {bucket.uri} has another batch of that name; a batch is never changed"
        )
    return found
