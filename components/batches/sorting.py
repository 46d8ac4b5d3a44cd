"""Which rows of batches are learned from, which test, and which are kept out; pure.

A row's place is a function of its pixels (`places`), so rows never move when batches come or go. What a model
is tested on must be in nobody's training rows, and what two people label differently teaches nothing.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from components.batches import places
from components.batches.labelled import Labelled, Labels, RawImages
from components.model.contract import PIXELS

Rows = NDArray[np.intp]
_ROWS_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True)
class Sorted:
    """What becomes of one batch's rows; each is in exactly one of these.

    Attributes:
      train: row numbers that train.
      validation: row numbers that validate.
      test: row numbers that test.
      duplicates: how many have the pixels and the label of a row that is there already.
      conflicts: how many have the pixels of another row, here or elsewhere, and another label than it.
      test_copies: how many have the pixels of one of the base dataset's test rows.
    """

    train: Rows
    validation: Rows
    test: Rows
    duplicates: int
    conflicts: int
    test_copies: int


def sort_out(base: Labelled, base_test: RawImages, batches: Sequence[Labelled]) -> list[Sorted]:
    """Sorts the rows of all batches.

    Args:
      base: the base dataset's training and validation rows; they keep their own places, whatever comes.
      base_test: its test images, uint8 [M, 28, 28].
      batches: in the order of their names.

    Returns:
      One result a batch, in the same order.
    """
    if not batches:
        return []
    keys = np.concatenate([_keys(base.images), *(_keys(batch.images) for batch in batches)])
    labels = np.concatenate([base.labels, *(batch.labels for batch in batches)])
    _, firsts, group = np.unique(keys, return_index=True, return_inverse=True)
    conflicting = _conflicting(group, labels, len(firsts))[group]
    repeated = firsts[group] != np.arange(len(keys))
    tests = np.isin(keys, _keys(base_test))
    results, start = [], len(base)
    for batch in batches:
        rows = slice(start, start + len(batch))
        results.append(_sorted(batch.images, tests[rows], conflicting[rows], repeated[rows]))
        start += len(batch)
    return results


def _sorted(
    images: RawImages, tests: NDArray[np.bool_], conflicting: NDArray[np.bool_], repeated: NDArray[np.bool_]
) -> Sorted:
    conflicting = conflicting & ~tests
    repeated = repeated & ~tests & ~conflicting
    kept = np.flatnonzero(~(tests | conflicting | repeated))
    at = np.fromiter((places.place(key) for key in _place_keys(images, kept)), np.intp, len(kept))
    return Sorted(
        train=kept[at == places.TRAIN],
        validation=kept[at == places.VALIDATION],
        test=kept[at == places.TEST],
        duplicates=int(repeated.sum()),
        conflicts=int(conflicting.sum()),
        test_copies=int(tests.sum()),
    )


def _place_keys(images: RawImages, rows: Rows) -> Iterator[bytes]:
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        yield from places.keys(images[rows[first : first + _ROWS_AT_ONCE]])


def _conflicting(group: NDArray[np.intp], labels: Labels, groups: int) -> NDArray[np.bool_]:
    """Says of each group of equal images whether its rows have different labels."""
    lowest, highest = np.full(groups, 255, np.uint8), np.zeros(groups, np.uint8)
    np.minimum.at(lowest, group, labels)
    np.maximum.at(highest, group, labels)
    differ: NDArray[np.bool_] = lowest != highest
    return differ


def _keys(images: RawImages) -> NDArray[np.int64]:
    """Tells images apart within this process: Python's own 64-bit hash of their bytes, int64 [N]."""

    def hashes() -> Iterator[int]:
        for start in range(0, len(images), _ROWS_AT_ONCE):
            content = images[start : start + _ROWS_AT_ONCE].tobytes()
            yield from (hash(content[first : first + PIXELS]) for first in range(0, len(content), PIXELS))

    return np.fromiter(hashes(), np.int64, len(images))
