"""What a model learned from, as its manifest keeps it for whoever retrains."""

import hashlib
from typing import Any

import numpy as np

from components.batches import drift
from components.dataset import Dataset
from components.errors import DataError, GateError
from components.registry import reading
from components.registry.manifest import Manifest
from components.storage.bucket import Bucket

_ROWS_AT_ONCE = 4096


def data_facts(dataset: Dataset) -> dict[str, Any]:
    """Returns train_rows, batches, test_sha256 and, for drift, the statistics of the training rows."""
    images, labels = dataset.train()
    statistics = None
    for first in range(0, len(images), _ROWS_AT_ONCE):
        raw = np.rint(images[first : first + _ROWS_AT_ONCE] * dataset.pixel_scale).astype(np.uint8)
        part = drift.measure(raw, labels[first : first + _ROWS_AT_ONCE])
        statistics = part if statistics is None else statistics + part
    return {
        "train_rows": len(labels),
        "batches": list(dataset.test_slices())[1:],
        "test_sha256": test_sha256(dataset),
        "reference": statistics.as_dict() if statistics else None,
    }


def test_sha256(dataset: Dataset) -> str:
    """Returns what tells one set of test rows from another: a SHA-256, hex, of images and labels."""
    digest = hashlib.sha256()
    for array in dataset.test():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def judged_on(bucket: Bucket, test: str) -> int:
    """Returns how many published models were judged on these test rows: each look makes them less unseen."""
    return sum(1 for manifest in _readable(bucket) if _test_of(manifest) == test)


def _readable(bucket: Bucket) -> list[Manifest]:
    found = []
    for version in reading.published_versions(bucket):
        try:
            found.append(reading.read_manifest(bucket, version))
        except (DataError, GateError):  # gc, verify and lookup report it; it says nothing about this model
            continue
    return found


def _test_of(manifest: Manifest) -> object:
    data = manifest.provenance.get("data")
    return data.get("test_sha256") if isinstance(data, dict) else None
