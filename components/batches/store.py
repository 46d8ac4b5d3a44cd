"""Labelled batches in a bucket: added whole or not at all, never changed, taken away by a tombstone.

    objects/<SHA-256>      raw bytes: images uint8 [N, 28, 28], or labels uint8 [N]
    batches/<name>.json    the manifest; written last, so a batch that is half there is none
    removed/<name>.json    a tombstone: the batch counts no more, its history stays

`listing` says which there are.
"""

import datetime
import tempfile
from pathlib import Path

import numpy as np

from components.batches import drift
from components.batches.labelled import Labelled, RawImages
from components.batches.listing import BATCHES, SUFFIX, check_name
from components.batches.manifest import Manifest, parse
from components.errors import DataError, UsageError
from components.model.contract import CLASSES, IMAGE_SHAPE
from components.storage.bucket import Bucket, ConflictError
from components.storage.digests import Digest, Digester, digest_file

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

    Raises:
      UsageError: a name that no batch can have, or that a batch has or had already.
      StorageError: the bucket is missing, refuses or does not answer.
    """
    manifest = describe(name, labelled, synthetic=synthetic)
    if bucket.stat(f"{BATCHES}{name}{SUFFIX}") is not None:
        raise _taken(bucket, name)
    with tempfile.TemporaryDirectory(prefix="batch-") as scratch:
        path = Path(scratch) / "rows"
        for rows, content in ((labelled.images, manifest.images), (labelled.labels, manifest.labels)):
            rows.tofile(path)
            bucket.upload(f"{OBJECTS}{content.sha256}", path, content)
    try:
        bucket.write(f"{BATCHES}{name}{SUFFIX}", manifest.encode(), generation=0)
    except ConflictError:
        raise _taken(bucket, name) from None
    return manifest


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


def _fetched(bucket: Bucket, expected: Digest, path: Path, batch: str) -> Path:
    with path.open("wb") as file:
        bucket.download(f"{OBJECTS}{expected.sha256}", file)
    if digest_file(path) != expected:
        raise DataError(
            f"{bucket.uri}/{OBJECTS}{expected.sha256}: of batch {batch}, is not what its name says"
        )
    return path


def _digest_of(rows: RawImages) -> Digest:
    digester = Digester()
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        digester.write(rows[first : first + _ROWS_AT_ONCE].tobytes())
    return digester.digest()


def _taken(bucket: Bucket, name: str) -> UsageError:
    return UsageError(
        f"--name={name}: {bucket.uri} has or had a batch of that name; a batch is never changed"
    )
