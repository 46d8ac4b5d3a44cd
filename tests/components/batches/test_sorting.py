"""Where rows of batches go, over random sequences of batches."""

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.batches import places
from components.batches.labelled import Labelled
from components.batches.sorting import Sorted, sort_out
from components.ingest.layout import lay_out

PICTURES = 60  # of which base rows, base test rows and batches are made, so that many are equal
IMAGES = np.random.default_rng(0).integers(0, 256, (PICTURES, 28, 28), np.uint8)
BASE = Labelled(IMAGES[:10], (np.arange(10) % 10).astype(np.uint8))
BASE_TEST = IMAGES[10:15]


class Row(NamedTuple):
    picture: int
    label: int


rows = st.builds(Row, st.integers(0, PICTURES - 1), st.sampled_from([0, 0, 0, 1]))
batches = st.lists(st.lists(rows, min_size=1, max_size=12), max_size=6)


def labelled(batch: list[Row]) -> Labelled:
    return Labelled(IMAGES[[row.picture for row in batch]], np.array([row.label for row in batch], np.uint8))


def where(sequence: list[list[Row]], results: list[Sorted]) -> dict[int, str]:
    """Picture to its place; each at most once."""
    found: dict[int, str] = {}
    for batch, into in zip(sequence, results, strict=True):
        for place in ("train", "validation", "test"):
            for row in getattr(into, place):
                assert batch[row].picture not in found
                found[batch[row].picture] = place
    return found


def sort(sequence: list[list[Row]]) -> list[Sorted]:
    return sort_out(BASE, BASE_TEST, [labelled(batch) for batch in sequence])


@given(sequence=batches, more=batches, after=st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_row_changes_its_place_when_batches_come_or_go(
    sequence: list[list[Row]], more: list[list[Row]], after: bool
) -> None:
    before = where(sequence, sort(sequence))
    longer = [*sequence, *more] if after else [*more, *sequence]
    later = where(longer, sort(longer))
    for picture in before.keys() & later.keys():
        assert before[picture] == later[picture]
    labels = {picture: {row.label for batch in longer for row in batch if row.picture == picture}
              for picture in before}  # fmt: skip
    for picture in before.keys() - later.keys():  # only a conflict takes a row away
        assert len(labels[picture]) == 2


@given(sequence=batches, holdout=st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_test_pixels_train_or_validate_and_every_row_is_accounted_for(
    sequence: list[list[Row]], holdout: bool
) -> None:
    given_rows, results = [labelled(batch) for batch in sequence], sort(sequence)
    for batch, into in zip(sequence, results, strict=True):
        kept = len(into.train) + len(into.validation) + len(into.test)
        assert kept + into.duplicates + into.conflicts + into.test_copies == len(batch)
    laid = lay_out(BASE, 3, holdout=holdout, batches=list(zip(given_rows, results, strict=True)))
    learned = {image.tobytes() for chunk in laid.images(1) for image in chunk}
    tests = [BASE_TEST, *(rows.images[into.test] for rows, into in zip(given_rows, results, strict=True))]
    assert not learned & {image.tobytes() for images in tests for image in images}
    images = np.concatenate(list(laid.images(1)))
    assert len(images) == len({image.tobytes() for image in images})  # the base's are unlike each other
    assert len(laid.labels(2)) == len(np.concatenate(list(laid.images(2))))


@given(sequence=batches)
@settings(max_examples=150, deadline=None)
def test_duplicates_conflicts_and_test_copies_are_counted_as_they_are_said_to_be(
    sequence: list[list[Row]],
) -> None:
    known = {row: {int(BASE.labels[row])} for row in range(len(BASE))}
    for row in (row for batch in sequence for row in batch):
        known.setdefault(row.picture, set()).add(row.label)
    seen = set(range(len(BASE)))
    for batch, into in zip(sequence, sort(sequence), strict=True):
        expected = {"test_copies": 0, "conflicts": 0, "duplicates": 0}
        for row in batch:
            if 10 <= row.picture < 15:
                expected["test_copies"] += 1
            elif len(known[row.picture]) > 1:
                expected["conflicts"] += 1
            elif row.picture in seen:
                expected["duplicates"] += 1
            seen.add(row.picture)
        assert {name: getattr(into, name) for name in expected} == expected


def test_shares_are_as_said_and_copies_in_many_chunks_are_found() -> None:
    images = np.random.default_rng(1).integers(0, 256, (9_000, 28, 28), np.uint8)
    labels = np.zeros(9_000, np.uint8)
    [into] = sort_out(BASE, BASE_TEST, [Labelled(images, labels)])
    shares = [len(rows) / 9_000 for rows in (into.train, into.validation, into.test)]
    np.testing.assert_allclose(shares, [0.70, 0.15, 0.15], atol=0.02)
    twice = np.concatenate([images, images])
    [again] = sort_out(BASE, BASE_TEST, [Labelled(twice, np.zeros(18_000, np.uint8))])
    assert again.duplicates == 9_000
    np.testing.assert_array_equal(again.test, into.test)
    by_hand = [row for row, key in enumerate(places.keys(images)) if places.place(key) == places.TEST]
    assert into.test.tolist() == by_hand
