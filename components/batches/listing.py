"""Which batches there are: what a listing tells, without a look into any. Needs no NumPy.

Names, sizes and checksums of the manifests decide what there is to learn from. Their digest is what scan
returns and what ingest must find again.
"""

import dataclasses
import datetime
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from components.errors import DataError, StorageError, UsageError
from components.storage import uri
from components.storage.bucket import Bucket, ConflictError
from components.storage.opening import open_bucket

BATCHES = "batches/"
REMOVED = "removed/"
SUFFIX = ".json"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
NAME_FORM = "a name being 1 to 63 of a-z 0-9 . _ - that starts with a letter or digit, and no dataset's"
RESERVED = ("mnist", "fashion_mnist", "kmnist")  # slices of test rows that the base datasets have


@dataclasses.dataclass(frozen=True)
class Entry:
    """A batch as a listing shows it.

    Attributes:
      crc32c: base64, of its manifest.
      removed: whether a tombstone takes it away.
    """

    name: str
    size: int
    crc32c: str
    removed: bool


def opened(batches_uri: str) -> Bucket:
    """Opens the place where batches are.

    Raises:
      UsageError: a URI of another form.
      StorageError: a directory that is not there: a typing mistake must not read as "no batches".
    """
    parsed = uri.parse(batches_uri, "batches_uri")
    if parsed.is_local and not Path(parsed.path).is_dir():
        raise StorageError(f"batches_uri={batches_uri}: no such directory")
    return open_bucket(batches_uri)


def entries(bucket: Bucket) -> list[Entry]:
    """Returns every batch, by name; reads no manifest from a store that lists checksums.

    Raises:
      DataError: something is called like a manifest, of a batch that nothing here could have written.
      StorageError: the bucket is missing, refuses or does not answer.
    """
    removed = {_between(REMOVED, stored.name) for stored in bucket.list(REMOVED)}
    found = []
    for stored in bucket.list(BATCHES):
        if not stored.name.endswith(SUFFIX):  # a folder's placeholder, a person's notes
            continue
        name = _between(BATCHES, stored.name)
        if not _is_name(name):
            raise DataError(f"{bucket.uri}/{stored.name}: must be called {BATCHES}NAME{SUFFIX}, {NAME_FORM}")
        whole = stored if stored.crc32c is not None else bucket.stat(stored.name)
        if whole is not None and whole.crc32c is not None:
            found.append(Entry(name, whole.size, whole.crc32c, name in removed))
    return found


def live(found: Iterable[Entry]) -> list[Entry]:
    """Returns the batches that no tombstone takes away."""
    return [entry for entry in found if not entry.removed]


def digest(found: Iterable[Entry]) -> str:
    """Returns a SHA-256, hex, over the batches that count; "" where there are none."""
    rows = [[entry.name, entry.size, entry.crc32c] for entry in live(found)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest() if rows else ""


def check_name(name: str) -> str:
    """Returns `name`; raises UsageError if no batch can be called so."""
    if not _is_name(name):
        raise UsageError(f"name={name[:80]!r}: no batch can be called so, {NAME_FORM}")
    return name


def remove(bucket: Bucket, name: str) -> bool:
    """Takes a batch away from the next ingest on; returns whether it counted until now.

    Raises:
      DataError: there is no such batch.
    """
    if bucket.stat(f"{BATCHES}{check_name(name)}{SUFFIX}") is None:
        raise DataError(f"{bucket.uri}: no batch {name}")
    tombstone = f"{REMOVED}{name}{SUFFIX}"
    if bucket.stat(tombstone) is not None:
        return False
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        bucket.write(tombstone, json.dumps({"removed": now}).encode(), generation=0)
    except ConflictError:  # somebody else did, at this moment
        return False
    return True


def _is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None and name not in RESERVED


def _between(prefix: str, name: str) -> str:
    return name.removeprefix(prefix).removesuffix(SUFFIX)
