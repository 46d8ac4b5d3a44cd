"""The batches that came since: fetched, judged against the base dataset, and told in words."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from components.batches import checks, drift, listing, store
from components.batches.labelled import Labelled, RawImages
from components.batches.manifest import Manifest
from components.batches.sorting import Sorted, sort_out
from components.dataset import Slice
from components.errors import DataError, RetryableError


@dataclasses.dataclass(frozen=True)
class Addition:
    """One batch and what becomes of it.

    Attributes:
      drift: population stability index by feature, against the base dataset's rows.
      findings: what is odd about it, in words.
    """

    manifest: Manifest
    rows: Labelled
    into: Sorted
    drift: dict[str, float]
    findings: list[str]


def gather(
    batches_uri: str,
    expected: str,
    base: Labelled,
    base_test: RawImages,
    scratch_dir: Path,
    max_drift: float,
) -> list[Addition]:
    """Fetches every batch and sorts its rows.

    Args:
      batches_uri: gs://bucket/prefix or a directory; "" for none.
      expected: what scan found there.
      base: the base dataset's training and validation rows.
      base_test: its test images, uint8 [M, 28, 28].
      scratch_dir: where batches are kept while they are read.
      max_drift: above which a batch is refused; 0 reports only.

    Raises:
      RetryableError: the place holds other batches than scan found.
      DataError: a batch is damaged, or drifted too far.
      StorageError: the place is missing, refuses or does not answer.
    """
    if not batches_uri:
        return []
    bucket = listing.opened(batches_uri)
    found = listing.entries(bucket)
    if listing.digest(found) != expected:
        raise RetryableError(f"batches_uri={batches_uri}: changed since it was scanned; run again")
    manifests = [store.read_manifest(bucket, entry.name) for entry in listing.live(found)]
    fetched = [store.download(bucket, manifest, scratch_dir) for manifest in manifests]
    if not fetched:
        return []
    reference = drift.measure(base.images, base.labels)
    sorted_rows = sort_out(base, base_test, fetched)
    additions = [
        Addition(
            manifest,
            rows,
            into,
            drift.psi(reference, drift.measure(rows.images, rows.labels)),
            checks.findings(rows),
        )
        for manifest, rows, into in zip(manifests, fetched, sorted_rows, strict=True)
    ]
    for addition in additions:
        print(_described(addition), flush=True)
    _refuse_drifted(additions, max_drift)
    return additions


def slices(base_name: str, base_rows: tuple[int, int, int], additions: Sequence[Addition]) -> list[Slice]:
    """Returns what dataset.json says of where rows came from.

    Args:
      base_name: what the base dataset's slice is called.
      base_rows: how many of its rows train, validate and test.
      additions: in order; their test rows follow the base's.
    """
    train, validation, test = base_rows
    found = [_slice(base_name, train, validation, [0, test])]
    for addition in additions:
        first, into = found[-1]["test_rows"][1], addition.into
        row = _slice(
            addition.manifest.name, len(into.train), len(into.validation), [first, first + len(into.test)]
        )
        row["synthetic"] = addition.manifest.synthetic
        row["dropped"] = _dropped(into)
        row["drift"] = addition.drift
        row["findings"] = addition.findings
        found.append(row)
    return found


def _slice(name: str, train: int, validation: int, test: list[int]) -> Slice:
    return Slice(
        name=name,
        synthetic=False,
        train_rows=train,
        validation_rows=validation,
        test_rows=test,
        dropped={},
        drift={},
        findings=[],
    )


def _dropped(into: Sorted) -> dict[str, int]:
    return {
        "duplicates": into.duplicates,
        "conflicts": into.conflicts,
        "test_copies": into.test_copies,
    }


def _described(addition: Addition) -> str:
    into = addition.into
    feature, worst = drift.worst(addition.drift)
    text = (
        f"ingest: batch {addition.manifest.name}: {addition.manifest.rows} rows, {len(into.train)} train, "
        f"{len(into.validation)} validate, {len(into.test)} test; kept out: {into.duplicates} duplicates, "
        f"{into.conflicts} with conflicting labels, {into.test_copies} copies of test rows; "
        f"drift {worst:.2f} ({feature}, {drift.in_words(worst)})"
    )
    return "; ".join([text, *addition.findings])


def _refuse_drifted(additions: Sequence[Addition], max_drift: float) -> None:
    if not max_drift:
        return
    for addition in additions:
        feature, worst = drift.worst(addition.drift)
        if worst > max_drift:
            raise DataError(
                f"batch {addition.manifest.name}: drift {worst:.2f} of {feature} is above "
                f"max_drift={max_drift:g}; `data remove` takes it away"
            )
