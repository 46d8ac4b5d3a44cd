"""What a batch is: its manifest, the object that is written last and makes a batch of it."""

import dataclasses
import json
import re
from typing import Any

from components import json_objects
from components.batches.drift import Statistics
from components.errors import DataError
from components.json_objects import JsonObject
from components.model.contract import CLASSES, PIXELS
from components.storage.digests import Digest

FORMAT = "mnist-pipeline/batch/1"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CRC32C = re.compile(r"[A-Za-z0-9+/]{6}==")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """One batch.

    Attributes:
      rows: how many there are.
      class_counts: how many of each of the ten digits.
      created: UTC, ISO 8601.
      synthetic: whether a program made the images.
      images: of the object that holds uint8 [rows, 28, 28].
      labels: of the object that holds uint8 [rows].
      statistics: of its pixels, for drift.
    """

    name: str
    rows: int
    class_counts: list[int]
    created: str
    synthetic: bool
    images: Digest
    labels: Digest
    statistics: Statistics

    def encode(self) -> bytes:
        """Returns the manifest as JSON."""
        fields = {"format": FORMAT, **dataclasses.asdict(self), "statistics": self.statistics.as_dict()}
        return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()


def parse(data: bytes, where: str, name: str) -> Manifest:
    """Reads a manifest.

    Args:
      data: its bytes.
      where: what error messages call it.
      name: of the batch whose manifest it must be.

    Raises:
      DataError: anything but what `encode` writes for this batch.
    """
    fields = json_objects.parse_format(data, where, FORMAT)
    manifest = Manifest(
        name=fields.text("name"),
        rows=fields.integer("rows"),
        class_counts=_counts(fields),
        created=fields.text("created"),
        synthetic=fields.flag("synthetic"),
        images=_digest(fields.nested("images")),
        labels=_digest(fields.nested("labels")),
        statistics=Statistics.read(fields.nested("statistics")),
    )
    if manifest.name != name:
        raise DataError(f"{where}: is the manifest of {manifest.name[:80]!r}")
    rows = manifest.rows
    sizes = (manifest.images.size, manifest.labels.size)
    if rows < 1 or sizes != (rows * PIXELS, rows) or sum(manifest.class_counts) != rows:
        raise DataError(f"{where}: rows={rows}, sizes {list(sizes)} and class counts do not fit together")
    return manifest


def _digest(fields: JsonObject) -> Digest:
    return Digest(
        fields.integer("size"), fields.matching("crc32c", _CRC32C), fields.matching("sha256", _SHA256)
    )


def _counts(fields: JsonObject) -> list[int]:
    counts: list[Any] = fields.array("class_counts")
    if len(counts) != CLASSES or any(type(count) is not int or count < 0 for count in counts):
        raise DataError(f"{fields.where}: class_counts must be {CLASSES} whole numbers")
    return counts
