import json
from pathlib import Path

import numpy as np
import pytest

from components import dataset
from components.dataset import Dataset
from components.errors import DataError, StorageError

ROWS, TEST_ROWS = 50, 20
ARRAYS = ["images.npy", "labels.npy", "test_images.npy", "test_labels.npy"]


def write(
    directory: Path, *, pixel_scale: float = 255.0, holdout: bool = True, seed: int = 0
) -> dataset.Facts:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (ROWS, 28, 28), np.uint8)
    return dataset.write(
        directory,
        name="mnist",
        source="a test",
        pixel_scale=pixel_scale,
        validation_rows=10,
        holdout=holdout,
        augment_factor=1,
        images=[images[:17], images[17:]],
        labels=np.arange(ROWS, dtype=np.uint8) % 10,
        test_images=random.integers(0, 256, (TEST_ROWS, 28, 28), np.uint8),
        test_labels=np.arange(TEST_ROWS, dtype=np.uint8) % 10,
        duplicates=0,
    )


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    facts = write(tmp_path)
    opened = Dataset.open(tmp_path)
    raw = np.random.default_rng(0).integers(0, 256, (ROWS, 28, 28), np.uint8)
    images, labels = opened.train()
    np.testing.assert_array_equal(images, raw[:40].reshape(40, 784) / np.float32(255))
    assert images.dtype == np.float32
    np.testing.assert_array_equal(labels, np.arange(40) % 10)
    images, labels = opened.validation()
    np.testing.assert_array_equal(images, raw[40:].reshape(10, 784) / np.float32(255))
    test_images, test_labels = opened.test()
    assert (test_images.shape, test_labels.shape) == ((TEST_ROWS, 28, 28), (TEST_ROWS,))
    assert test_images.dtype == test_labels.dtype == np.uint8
    assert opened.facts == facts
    assert facts["train_class_counts"] == [5] * 10
    assert (opened.pixel_scale, opened.fingerprint) == (255.0, facts["fingerprint"])
    opened.verify()


def test_without_holdout_the_validation_rows_are_training_rows_too(tmp_path: Path) -> None:
    facts = write(tmp_path, holdout=False)
    assert (facts["train_rows"], facts["validation_rows"]) == ([0, 50], [40, 50])
    assert len(Dataset.open(tmp_path).train()[0]) == 50


def test_the_arrays_are_mapped_read_only(tmp_path: Path) -> None:
    write(tmp_path)
    images, _ = Dataset.open(tmp_path).train()
    assert isinstance(images, np.memmap)
    assert not images.flags.writeable


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_the_fingerprint_follows_pixels_scale_and_rows(tmp_path: Path) -> None:
    prints = {
        write(tmp_path, **change)["fingerprint"]
        for change in ({}, {"seed": 1}, {"pixel_scale": 225.0}, {"holdout": False}, {})
    }
    assert len(prints) == 4


def test_an_existing_dataset_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, seed=1)
    write(tmp_path)
    Dataset.open(tmp_path).verify()


def test_verify_finds_one_flipped_bit(tmp_path: Path) -> None:
    write(tmp_path)
    content = bytearray((tmp_path / "images.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "images.npy").write_bytes(content)
    with pytest.raises(DataError, match="fingerprint"):
        Dataset.open(tmp_path).verify()


@pytest.mark.parametrize(
    "name", ["images.npy", "labels.npy", "test_images.npy", "test_labels.npy", "dataset.json"]
)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "other"])
def test_a_damaged_part_is_named(tmp_path: Path, name: str, damage: str) -> None:
    write(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(content[:-3])
    elif name == "dataset.json":
        path.write_text("[]", encoding="utf-8")
    else:
        np.save(path, np.zeros((3, 3), np.float64))
    with pytest.raises(DataError, match=name) as error:
        Dataset.open(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"train_rows": None},
        {"train_rows": "0-40"},
        {"train_rows": [40, 0]},
        {"train_rows": [0, 51]},
        {"test_rows": 21},
        {"test_rows": "20"},
    ],
)
def test_facts_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    facts = dict(write(tmp_path)) | change
    (tmp_path / "dataset.json").write_text(
        json.dumps({k: v for k, v in facts.items() if v is not None}), encoding="utf-8"
    )
    with pytest.raises(DataError):
        Dataset.open(tmp_path)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    write(tmp_path)
    np.save(tmp_path / "labels.npy", np.array([{}], object))
    with pytest.raises(DataError, match=r"labels\.npy"):
        Dataset.open(tmp_path)


def test_an_unwritable_place_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="cannot be written"):
        write(tmp_path / "file" / "data")


def test_a_dataset_with_another_number_of_images_than_labels_is_not_written(tmp_path: Path) -> None:
    images = np.zeros((5, 28, 28), np.uint8)
    with pytest.raises(ValueError, match="5 images for 6 labels"):
        dataset.write(
            tmp_path,
            name="mnist",
            source="a test",
            pixel_scale=255.0,
            validation_rows=1,
            holdout=True,
            augment_factor=1,
            images=[images],
            labels=np.zeros(6, np.uint8),
            test_images=images,
            test_labels=np.zeros(5, np.uint8),
            duplicates=0,
        )
    assert not (tmp_path / "dataset.json").exists()
