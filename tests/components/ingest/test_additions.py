"""ingest with batches: what it learns from, what it keeps out, and what makes it refuse."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.batches import listing, store
from components.batches.labelled import Labelled
from components.dataset import Dataset, Facts
from components.errors import DataError, RetryableError
from components.ingest import additions, core
from components.ingest.settings import DATASETS, Settings
from components.scan.core import scan
from components.storage.opening import open_bucket
from tests.components.batches.digits import mnist, noise
from tests.fakes.gcs_fixtures import Gcs

FINGERPRINT = "46f7b0e6889d"  # of MNIST without batches, since long before there were any
TRAIN, TEST = mnist("train"), mnist("t10k")
INVERTED = Labelled(255 - TEST.images[:300], TEST.labels[:300])


def ingest(data_dir: Path, uri: str, digest: str = "", **change: Any) -> Facts:
    return core.ingest(Settings(**change), data_dir, batches_uri=uri, batches_digest=digest or scan(uri))


def test_without_batches_the_artifact_is_as_it_always_was(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for uri in ("", str(tmp_path / "none")):
        facts = ingest(tmp_path / "data", uri)
        assert facts["fingerprint"].startswith(FINGERPRINT)
        assert "slices" not in facts


def test_batches_are_learned_from_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = open_bucket(str(tmp_path / "batches"))
    mixed = Labelled(
        np.concatenate([INVERTED.images, TEST.images[:5], TRAIN.images[:4], INVERTED.images[:2]]),
        np.concatenate([INVERTED.labels, TEST.labels[:5], TRAIN.labels[:3], (TRAIN.labels[3:4] + 1) % 10,
                        INVERTED.labels[:2]]),
    )  # fmt: skip
    store.add(bucket, "one", mixed, synthetic=True)
    facts = ingest(tmp_path / "data", bucket.uri)
    base, one = facts["slices"]
    assert (base["name"], base["train_rows"], base["test_rows"]) == ("mnist", 50_000, [0, 10_000])
    assert one["dropped"] == {"duplicates": 5, "conflicts": 1, "test_copies": 5}
    kept = one["train_rows"] + one["validation_rows"] + one["test_rows"][1] - one["test_rows"][0]
    assert (one["name"], one["synthetic"], kept) == ("one", True, 300)
    assert facts["train_rows"] == [0, 50_000 + one["train_rows"]]
    assert facts["test_rows"] == one["test_rows"][1]
    assert min(one["drift"]["border"], one["drift"]["stroke"]) > 1
    said = capsys.readouterr().out
    assert "batch one: 311 rows" in said
    assert "kept out: 5 duplicates, 1 with conflicting labels, 5 copies of test rows" in said
    opened = Dataset.open(tmp_path / "data")
    opened.verify()
    images, labels = opened.test()
    np.testing.assert_array_equal(images[:10_000], TEST.images)
    inverted = {image.tobytes(): label for image, label in zip(INVERTED.images, INVERTED.labels, strict=True)}
    for image, label in zip(images[10_000:], labels[10_000:], strict=True):
        assert inverted[image.tobytes()] == label
    train, _ = opened.train()
    assert np.rint(train[50_000:] * 255).astype(np.uint8)[:, 0].min() == 255  # white corners


def test_too_much_drift_is_refused_by_name_and_nothing_is_written(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path / "batches"))
    store.add(bucket, "good", Labelled(TEST.images[:1_000], TEST.labels[:1_000]))
    store.add(bucket, "inverted", INVERTED)
    store.add(bucket, "noise", noise(1, 300))
    with pytest.raises(DataError, match=r"^batch inverted: drift .* of border; batch noise: .* max_drift=1"):
        ingest(tmp_path / "data", bucket.uri, max_drift=1.0)
    assert not (tmp_path / "data").exists()


def test_batches_that_came_or_went_since_the_scan_are_worth_another_run(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path / "batches"))
    store.add(bucket, "one", noise(1, 10))
    store.add(bucket, "two", noise(2, 10))
    scanned = scan(bucket.uri)
    listing.remove(bucket, "one")
    with pytest.raises(RetryableError, match="changed since it was scanned; run again"):
        ingest(tmp_path / "data", bucket.uri, scanned)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("how", ["tombstone", "deleted"])
def test_a_batch_that_is_removed_while_it_is_fetched_is_worth_another_run(
    gcs: Gcs, tmp_path: Path, how: str
) -> None:
    uri = gcs.new_bucket()
    bucket, name = open_bucket(uri), uri.removeprefix("gs://")
    manifest = store.add(bucket, "one", noise(1, 10))
    scanned = scan(uri)
    base = Labelled(TRAIN.images[:50], TRAIN.labels[:50])
    done: list[int] = []

    def meanwhile(number: int, was_forwarded: bool) -> bool:
        if "batches/one.json" in gcs.proxy.requests[number - 1] and not done:
            done.append(number)
            if how == "tombstone":
                listing.remove(open_bucket(uri), "one")
            else:
                gcs.server.remove(name, "batches/one.json")
                gcs.server.remove(name, f"objects/{manifest.images.sha256}")
        return True

    gcs.proxy.at_boundary = meanwhile
    try:
        with pytest.raises(RetryableError, match="changed since it was scanned; run again") as error:
            additions.gather(uri, scanned, base, TEST.images[:10], tmp_path, 0.0)
    finally:
        gcs.proxy.at_boundary = lambda number, was_forwarded: True
    assert done
    assert error.value.exit_code == 75


def test_no_batch_can_have_the_name_of_a_base_datasets_slice() -> None:
    assert set(DATASETS) == set(listing.RESERVED)


def test_the_memory_does_not_grow_with_the_number_of_batches(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        bucket = open_bucket(str(tmp_path / str(count)))
        for number in range(count):
            store.add(bucket, f"batch-{number}", noise(number, 600))
        scratch = tmp_path / f"scratch-{count}"
        scratch.mkdir()
        base = Labelled(TRAIN.images[:5_000], TRAIN.labels[:5_000])
        scanned = scan(bucket.uri)
        tracemalloc.start()
        additions.gather(bucket.uri, scanned, base, TEST.images[:100], scratch, 0.0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(12) - peak(2) < 10 * 600 * 150  # some numbers per row, not an image's 784 bytes
