"""Batches on both kinds of bucket: whole or not there, never changed, taken away by a tombstone."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.batches import listing, store
from components.errors import DataError, PipelineError, StorageError, UsageError
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket
from tests.components.batches.digits import noise
from tests.components.registry.test_reading import contents
from tests.fakes.gcs_fixtures import Gcs
from tests.forks import forking
from tests.sweeps import batch_sweep
from tests.sweeps.publish_sweep import Tally

ROWS = noise(1, 30)
MANIFEST = "batches/one.json"
WRITERS = 6


@pytest.fixture(params=["local", "gcs"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if request.param == "local":
        (tmp_path / "bucket").mkdir()
        return open_bucket(str(tmp_path / "bucket"))
    return open_bucket(request.getfixturevalue("gcs").new_bucket() + "/prefix")


def overwrite(bucket: Bucket, name: str, data: bytes) -> None:
    stored = bucket.stat(name)
    bucket.write(name, data, generation=stored.generation if stored else 0)


def read_back(bucket: Bucket, directory: Path) -> list[Any]:
    return store.download_all(bucket, listing.entries(bucket), directory)


def test_what_was_added_is_read_back(bucket: Bucket, tmp_path: Path) -> None:
    manifest = store.add(bucket, "one", ROWS, synthetic=True)
    [found] = read_back(bucket, tmp_path)
    np.testing.assert_array_equal(found.rows.images, ROWS.images)
    np.testing.assert_array_equal(found.rows.labels, ROWS.labels)
    assert (found.name, found.synthetic, manifest.rows) == ("one", True, 30)
    assert store.read_manifest(bucket, "one") == manifest
    assert set(contents(bucket)) - {".bucket/lock"} == {
        MANIFEST,
        f"objects/{manifest.images.sha256}",
        f"objects/{manifest.labels.sha256}",
    }


def test_a_name_is_given_once_and_the_same_rows_again_change_nothing(bucket: Bucket) -> None:
    first = store.add(bucket, "one", ROWS)
    before = contents(bucket)
    assert store.add(bucket, "one", ROWS) == first
    with pytest.raises(UsageError, match=r"^name=one: .* has another batch of that name; a batch is never"):
        store.add(bucket, "one", noise(2, 30))
    with pytest.raises(UsageError, match="has another batch of that name"):
        store.add(bucket, "one", ROWS, synthetic=True)
    assert contents(bucket) == before
    assert listing.remove(bucket, "one")
    before = contents(bucket)
    with pytest.raises(UsageError, match="had a batch of that name, which was removed"):
        store.add(bucket, "one", ROWS)
    assert contents(bucket) == before


@pytest.mark.parametrize("name", ["", "../x", "a/b", "One", "-a", "a" * 64, "mnist", "a\n"])
def test_no_batch_can_be_called_so(bucket: Bucket, name: str) -> None:
    before = contents(bucket)
    for act in (lambda: store.add(bucket, name, ROWS), lambda: listing.remove(bucket, name)):
        with pytest.raises(UsageError, match="no batch can be called so") as error:
            act()
        assert "\n" not in str(error.value)
    assert contents(bucket) == before


def test_a_removed_batch_counts_no_more_and_stays(bucket: Bucket, tmp_path: Path) -> None:
    store.add(bucket, "one", ROWS)
    store.add(bucket, "two", noise(2, 10))
    with_both = listing.digest(listing.entries(bucket))
    before = contents(bucket)
    assert listing.remove(bucket, "one")
    assert not listing.remove(bucket, "one")
    found = listing.entries(bucket)
    assert [(entry.name, entry.removed) for entry in found] == [("one", True), ("two", False)]
    assert listing.digest(found) not in ("", with_both)
    assert [each.name for each in read_back(bucket, tmp_path)] == ["two"]
    assert before.items() <= contents(bucket).items()
    with pytest.raises(DataError, match="no batch three"):
        listing.remove(bucket, "three")


def changed(manifest: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(manifest) | fields).encode()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: b"<html>", r"one\.json: not JSON"),
        (lambda data: b"[]", "a JSON list, not an object"),
        (lambda data: b"{}", "format 'None', expected 'mnist-pipeline/batch/1'"),
        (lambda data: b"[" * 100_000, "nested too deeply"),
        (lambda data: changed(data, name="../one"), r"is the manifest of '\.\./one'"),
        (lambda data: changed(data, rows=31), "rows=31, sizes .* do not fit together"),
        (lambda data: changed(data, rows=0), "rows=0, sizes .* do not fit together"),
        (lambda data: changed(data, class_counts=[3] * 10 + [0]), "class_counts must be 10 whole numbers"),
        (
            lambda data: changed(data, images=json.loads(data)["images"] | {"sha256": "../../etc/passwd"}),
            r"sha256='\.\./\.\./etc/passwd' has not the form",
        ),
        (
            lambda data: changed(data, statistics=json.loads(data)["statistics"] | {"rows": 29}),
            "counts 30 rows of rows=29",
        ),
        (
            lambda data: changed(data, images=json.loads(data)["images"] | {"sha256": "a" * 64}),
            "objects/a{64}: no such object",
        ),
        (
            lambda data: changed(data, class_counts=[30] + [0] * 9),
            "its labels are not those that its manifest counts",
        ),
    ],
)
def test_a_manifest_that_is_none(bucket: Bucket, tmp_path: Path, change: Any, problem: str) -> None:
    store.add(bucket, "one", ROWS)
    found = bucket.read(MANIFEST)
    assert found is not None
    overwrite(bucket, MANIFEST, change(found.data))
    with pytest.raises(DataError, match=problem) as error:
        read_back(bucket, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"x" * 30, bytes(1000)], ids=["empty", "other", "longer"])
def test_objects_are_believed_by_their_digest_only(bucket: Bucket, tmp_path: Path, data: bytes) -> None:
    manifest = store.add(bucket, "one", ROWS)
    overwrite(bucket, f"objects/{manifest.labels.sha256}", data)
    with pytest.raises(DataError, match=r"of batch one: is (not what its name|larger than the 30 bytes)"):
        read_back(bucket, tmp_path)
    assert (tmp_path / "one.labels").stat().st_size <= 30


def test_what_lies_beside_manifests_is_no_batch_and_what_looks_like_one_is_named(bucket: Bucket) -> None:
    store.add(bucket, "one", ROWS)
    bucket.write("batches/notes.txt", b"a person's", generation=0)
    assert [entry.name for entry in listing.entries(bucket)] == ["one"]
    bucket.write("batches/sub/two.json", b"{}", generation=0)
    with pytest.raises(DataError, match=r"batches/sub/two\.json: must be called batches/NAME\.json"):
        listing.entries(bucket)


def test_a_name_that_leads_out_of_the_bucket_is_refused(gcs: Gcs) -> None:
    """The store has no folders and takes any name."""
    uri = gcs.new_bucket()
    gcs.server.put(uri.removeprefix("gs://"), "batches/../../two.json", b"{}")
    with pytest.raises(DataError, match=r"two\.json: must be called batches/NAME\.json"):
        listing.entries(open_bucket(uri))


def test_the_second_of_two_writers_at_one_moment_is_told(gcs: Gcs) -> None:
    """The first is about to write its manifest when the second, from start to end, adds its batch."""
    uri, second = gcs.new_bucket(), noise(2, 30)
    done: list[str] = []

    def overtaken(number: int, was_forwarded: bool) -> bool:
        is_manifest = gcs.proxy.requests[number - 1].endswith(MANIFEST)
        if is_manifest and gcs.proxy.requests[number - 1].startswith("POST") and not done:
            done.append(uri)
            store.add(open_bucket(uri), "one", second)
        return True

    gcs.proxy.at_boundary = overtaken
    try:
        with pytest.raises(UsageError, match="has another batch of that name"):
            store.add(open_bucket(uri), "one", ROWS)
    finally:
        gcs.proxy.at_boundary = lambda number, was_forwarded: True
    assert done
    assert store.read_manifest(open_bucket(uri), "one").images == store.describe("one", second).images


def race(uri: str, seed: int, outcomes: Any, start: Any) -> None:
    rows = noise(seed, 30)
    start.wait(30)
    try:
        outcomes.put(("added", store.add(open_bucket(uri), "one", rows).images.sha256))
    except PipelineError as error:
        outcomes.put((type(error).__name__, str(error)))


def test_of_many_writers_in_a_directory_one_wins(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    context = multiprocessing.get_context("forkserver")
    start, outcomes = context.Barrier(WRITERS), context.Queue()
    children = [
        context.Process(target=race, args=(str(tmp_path / "bucket"), seed, outcomes, start))
        for seed in range(WRITERS)
    ]
    with forking("components.batches.store", "components.storage.local"):
        for child in children:
            child.start()
        said = [outcomes.get(timeout=60) for _ in children]
        for child in children:
            child.join(30)
    [winner] = [text for kind, text in said if kind == "added"]
    assert [kind for kind, _ in said].count("UsageError") == WRITERS - 1
    bucket = open_bucket(str(tmp_path / "bucket"))
    assert store.read_manifest(bucket, "one").images.sha256 == winner
    assert len(read_back(bucket, tmp_path)) == 1


def test_a_kill_at_any_request_leaves_no_half_batch(gcs: Gcs, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.server.url)
    tally = Tally()
    batch_sweep.sweep_gcs(tmp_path, gcs.server, gcs.proxy, tally)
    assert tally.kills >= 8
    assert tally.reads > tally.kills
    assert (tally.torn, tally.converged, tally.orphans) == ([], tally.kills, 0)


def test_a_kill_at_any_file_operation_leaves_no_half_batch(tmp_path: Path) -> None:
    tally = Tally()
    batch_sweep.sweep_local(tmp_path, tally, step=7)
    assert tally.kills >= 4
    assert (tally.torn, tally.converged, tally.orphans) == ([], tally.kills, 0)


def test_a_directory_that_is_not_there_is_no_place_without_batches(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such directory"):
        listing.opened(str(tmp_path / "none"))
