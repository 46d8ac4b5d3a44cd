"""What is odd about digits, and how far they drifted; by MNIST itself."""

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

from components.batches import checks, drift
from components.batches.labelled import Labelled, RawImages
from components.json_objects import parse
from tests.components.batches.digits import mnist

TRAIN, TEST = mnist("train"), mnist("t10k")
REFERENCE = drift.measure(TRAIN.images, TRAIN.labels)
SOME = Labelled(TEST.images[:1_000], TEST.labels[:1_000])


def drifted(images: RawImages) -> dict[str, float]:
    return drift.psi(REFERENCE, drift.measure(images, SOME.labels))


def test_nothing_is_odd_about_mnist() -> None:
    assert checks.findings(TRAIN) == checks.findings(TEST) == []
    moved = drift.psi(REFERENCE, drift.measure(TEST.images, TEST.labels))
    assert max(moved.values()) < 0.01
    assert max(drift.psi(REFERENCE, REFERENCE).values()) == 0.0
    assert max(drifted(SOME.images).values()) < drift.WATCH


def test_what_the_constants_say_of_mnist_is_so() -> None:
    found = [drift.features(rows.images) for rows in (TRAIN, TEST)]
    assert max(each["border"].max() for each in found) <= 11
    for axis in ("centre_x", "centre_y"):
        assert max(np.abs(each[axis] - checks.CENTRE).max() for each in found) <= 0.53
    for rows in (TRAIN, TEST):
        assert (rows.images.min(axis=(1, 2)) < rows.images.max(axis=(1, 2))).all()


@pytest.mark.parametrize(
    ("change", "finding", "feature"),
    [
        (lambda images: 255 - images, "1000 of 1000 images have a bright border", "border"),
        (
            lambda images: np.roll(images, 4, axis=2),
            r"centre is \+[34]\.\d pixels to the right and",
            "centre_x",
        ),
        (lambda images: np.roll(images, -4, axis=1), r"to the right and -[34]\.\d down", "centre_y"),
        (lambda images: images * 0, "1000 of 1000 images are of one brightness", "ink"),
        (lambda images: np.full_like(images, 90), "1000 of 1000 images are of one brightness", "contrast"),
    ],
    ids=["inverted", "right", "up", "empty", "constant"],
)
def test_what_is_odd_is_found_and_drifted(
    change: Callable[[RawImages], RawImages], finding: str, feature: str
) -> None:
    images = change(SOME.images)
    [found] = checks.findings(Labelled(images, SOME.labels))
    assert re.search(finding, found)
    assert drifted(images)[feature] > drift.DRIFTED


def test_odd_images_among_others_absent_classes_and_few_rows_are_found() -> None:
    images = SOME.images.copy()
    images[:3] = 0
    images[3:5] = 255 - images[3:5]
    [constant, inverted] = checks.findings(Labelled(images, SOME.labels))
    assert constant.startswith("3 of 1000 images are of one brightness")
    assert inverted.startswith("2 of 1000 images have a bright border")
    some = Labelled(SOME.images[SOME.labels > 1], SOME.labels[SOME.labels > 1])
    assert checks.findings(some) == ["no image of 0, 1"]
    assert drift.psi(REFERENCE, drift.measure(some.images, some.labels))["digits"] > drift.DRIFTED
    few = Labelled(SOME.images[:50], np.arange(50, dtype=np.uint8) % 10)
    assert checks.findings(few) == ["50 rows are too few to tell drift from chance"]


def test_few_rows_are_those_whose_index_is_drift_by_chance_alone() -> None:
    random, found = np.random.default_rng(0), {}
    for rows in (36, checks.FEW_ROWS):
        chosen = [random.choice(len(TEST), rows, replace=False) for _ in range(40)]
        found[rows] = np.mean(
            [drift.psi(REFERENCE, drift.measure(TEST.images[i], TEST.labels[i]))["ink"] for i in chosen]
        )
    assert found[36] > drift.DRIFTED / 2
    assert found[checks.FEW_ROWS] < drift.WATCH


def test_statistics_are_read_as_written_and_add_up() -> None:
    halves = [
        drift.measure(TEST.images[part], TEST.labels[part]) for part in (slice(4_000), slice(4_000, None))
    ]
    whole = drift.measure(TEST.images, TEST.labels)
    assert halves[0] + halves[1] == whole
    assert drift.Statistics.read(parse(json.dumps(whole.as_dict()).encode(), "here")) == whole
