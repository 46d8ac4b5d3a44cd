import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from components import dataset
from components.batches.labelled import Labelled
from components.dataset import Dataset, Labels, RawImages
from components.ingest import augment, core, layout
from components.ingest.settings import Settings
from components.model import contract
from tests.conftest import FEW_ROWS, TRAINING_ROWS


def images_of(rows: int) -> RawImages:
    """Row i has the value i % 255 + 1 everywhere, so that it is known again after any move."""
    values = (np.arange(rows) % 255 + 1).astype(np.uint8)
    return np.repeat(values, contract.PIXELS).reshape(rows, *contract.IMAGE_SHAPE)


def laid_out(images: RawImages, labels: Labels, *, holdout: bool = True) -> layout.Layout:
    """The last 300 rows validate."""
    return layout.lay_out(Labelled(images, labels), 300, holdout=holdout)


def all_images(rows: layout.Layout, factor: int) -> RawImages:
    return np.concatenate(list(rows.images(factor)))


def test_a_factor_of_one_changes_nothing() -> None:
    images, labels = images_of(1_300), np.arange(1_300).astype(np.uint8)
    rows = laid_out(images, labels)
    np.testing.assert_array_equal(all_images(rows, 1), images)
    np.testing.assert_array_equal(rows.labels(1), labels)


@pytest.mark.parametrize("train_rows", [1_000, 1_300], ids=["holdout", "overlap"])
def test_copies_of_the_training_rows_come_first_and_no_validation_row_is_among_them(train_rows: int) -> None:
    images, labels = images_of(1_300), (np.arange(1_300) % 10).astype(np.uint8)
    plan = laid_out(images, labels, holdout=train_rows == 1_000)
    rows = all_images(plan, 3)
    copied = np.tile(images[:train_rows, 0, 0], 2)
    np.testing.assert_array_equal(rows[:-1_300].max(axis=(1, 2)), copied)
    np.testing.assert_array_equal(rows[-1_300:], images)
    expected = np.concatenate([np.tile(labels[:train_rows], 2), labels])
    np.testing.assert_array_equal(plan.labels(3), expected)


def test_how_an_image_is_moved_is_a_function_of_row_and_copy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 28, 28), np.uint8).repeat(600, axis=0)
    once = augment.augmented(images, 0, 1)
    np.testing.assert_array_equal(augment.augmented(images[:90], 510, 1), once[510:])
    assert 300 < len(np.unique(once, axis=0)) <= 425  # 17 rotations, 25 shifts
    other_copy = augment.augmented(images, 0, 2)
    assert (once == other_copy).all(axis=(1, 2)).mean() < 0.02


def test_the_bytes_are_the_same_everywhere() -> None:
    images = (np.arange(200 * contract.PIXELS) % 251).astype(np.uint8).reshape(200, 28, 28)
    digest = hashlib.sha256(augment.augmented(images, 59_000, 7).tobytes()).hexdigest()
    assert digest == "b2f2e8357a4b4f13780e2b581e684b79f6a85cd10ca5251fe4d82eea3eaae2c7"


def test_moves_are_small() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[3:6, 13:16] = 200  # its centre is 9.5 pixels above the image's
    moved = augment.augmented(np.broadcast_to(image, (2_000, 28, 28)), 0, 1).astype(float)
    weights = moved.sum(axis=(1, 2))
    y, x = np.mgrid[:28, :28]
    down = (moved * y).sum(axis=(1, 2)) / weights - 4
    right = (moved * x).sum(axis=(1, 2)) / weights - 14
    rotated = 9.5 * np.sin(np.deg2rad(augment.MAX_ROTATION))  # to the side
    assert np.abs(down).max() < augment.MAX_SHIFT + 0.7
    assert augment.MAX_SHIFT + 1 < np.abs(right).max() < augment.MAX_SHIFT + rotated + 0.7
    assert abs(down.mean()) < 0.2
    assert abs(right.mean()) < 0.2


def test_the_memory_to_write_does_not_grow_with_the_factor(tmp_path: Path) -> None:
    def peak(factor: int) -> int:
        images, labels = images_of(1_000), (np.arange(1_000) % 10).astype(np.uint8)
        rows = layout.lay_out(Labelled(images, labels), 100, holdout=True)
        tracemalloc.start()
        dataset.write(
            tmp_path,
            name="mnist",
            source="a test",
            pixel_scale=255.0,
            validation_rows=100,
            holdout=True,
            augment_factor=factor,
            images=rows.images(factor),
            labels=rows.labels(factor),
            test_images=images,
            test_labels=labels,
            duplicates=0,
        )
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)  # makes the table of moves, once
    assert peak(12) - peak(3) < 12 * 1_000 * 10  # a label's byte per row and its float, not an image's 3 kB


def test_an_augmented_dataset_has_the_same_validation_and_test_rows(dataset_dir: str, tmp_path: Path) -> None:
    arguments = {**FEW_ROWS, "augment_factor": 3}
    facts = core.ingest(Settings(**arguments), tmp_path / "data")
    assert facts["train_rows"] == [0, 3 * TRAINING_ROWS]
    assert facts["validation_rows"] == [3 * TRAINING_ROWS, 60_000 + 2 * TRAINING_ROWS]
    assert (facts["augment_factor"], core.summary(facts)["train_rows"]) == (3, 3 * TRAINING_ROWS)
    plain, opened = Dataset.open(dataset_dir), Dataset.open(tmp_path / "data")
    opened.verify()
    assert opened.fingerprint != plain.fingerprint
    for ours, theirs in ((opened.validation(), plain.validation()), (opened.test(), plain.test())):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
    images, labels = opened.train()
    np.testing.assert_array_equal(images[-TRAINING_ROWS:], plain.train()[0])
    np.testing.assert_array_equal(labels.reshape(3, -1), np.tile(plain.train()[1], (3, 1)))
    # A copy is the digit that it was, moved: about as much ink, elsewhere.
    ink = images.reshape(3, TRAINING_ROWS, -1).mean(axis=2)
    np.testing.assert_allclose(ink[0], ink[2], rtol=0.25)
    assert (images[:TRAINING_ROWS] != images[-TRAINING_ROWS:]).any(axis=1).mean() > 0.99
