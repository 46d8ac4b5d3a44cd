"""The batches that came since: fetched, judged against the base dataset, and told in words."""

from collections.abc import Sequence
from pathlib import Path

from components.batches import listing, store
from components.batches.admission import Addition, admit, described, refuse_drifted
from components.batches.labelled import Labelled, RawImages
from components.dataset import Slice
from components.errors import DataError, RetryableError


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
      RetryableError: the place holds other batches than scan found, or did while they were fetched.
      DataError: a batch is damaged, or drifted too far.
      StorageError: the place is missing, refuses or does not answer.
    """
    if not batches_uri:
        return []
    bucket = listing.opened(batches_uri)
    entries = listing.entries(bucket)
    _refuse_changed(batches_uri, entries, expected)
    try:
        candidates = store.download_all(bucket, entries, scratch_dir)
    except DataError:  # what is not there, or is not what it was, may have been taken away meanwhile
        _refuse_changed(batches_uri, listing.entries(bucket), expected)
        raise
    if candidates:
        _refuse_changed(batches_uri, listing.entries(bucket), expected)
    additions = admit(base, base_test, candidates)
    for addition in additions:
        print(f"ingest: {described(addition)}", flush=True)
    refuse_drifted(additions, max_drift)
    return additions


def slices(base_name: str, base_rows: tuple[int, int, int], additions: Sequence[Addition]) -> list[Slice]:
    """Returns what dataset.json says of where rows came from.

    Args:
      base_name: what the base dataset's slice is called.
      base_rows: how many of its rows train, validate and test.
      additions: in order; their test rows follow the base's.
    """
    train, validation, test = base_rows
    base = Slice(
        name=base_name,
        synthetic=False,
        train_rows=train,
        validation_rows=validation,
        test_rows=[0, test],
        dropped={},
        drift={},
        findings=[],
    )
    found = [base]
    for addition in additions:
        found.append(_slice(addition, first_test_row=found[-1]["test_rows"][1]))
    return found


def _slice(addition: Addition, first_test_row: int) -> Slice:
    into = addition.into
    return Slice(
        name=addition.name,
        synthetic=addition.candidate.synthetic,
        train_rows=len(into.train),
        validation_rows=len(into.validation),
        test_rows=[first_test_row, first_test_row + len(into.test)],
        dropped=addition.dropped,
        drift=addition.drift,
        findings=addition.findings,
    )


def _refuse_changed(batches_uri: str, entries: Sequence[listing.Entry], expected: str) -> None:
    if listing.digest(entries) != expected:
        raise RetryableError(f"batches_uri={batches_uri}: changed since it was scanned; run again")
