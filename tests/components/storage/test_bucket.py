"""Every test here runs against each kind of bucket: they must behave the same."""

import io
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.errors import DataError, PipelineError, StorageError, UsageError
from components.storage.bucket import Bucket, ConflictError, Content
from components.storage.digests import digest_bytes, digest_file
from components.storage.opening import check_writable, open_bucket


@pytest.fixture(params=["local", "gcs"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if request.param == "local":
        return open_bucket(str(tmp_path / "bucket"))
    return open_bucket(request.getfixturevalue("gcs").new_bucket() + "/prefix")


def names(bucket: Bucket, prefix: str = "") -> list[str]:
    return [stored.name for stored in bucket.list(prefix)]


def content(bucket: Bucket, name: str) -> Content:
    found = bucket.read(name)
    assert found is not None
    return found


def test_an_empty_bucket_has_nothing(bucket: Bucket) -> None:
    assert bucket.read("a/b") is None
    assert bucket.stat("a/b") is None
    assert names(bucket) == []
    assert not bucket.delete("a/b", generation=1)
    with pytest.raises(DataError, match="no such object"):
        bucket.download("a/b", io.BytesIO())


def test_create_if_absent(bucket: Bucket) -> None:
    first = bucket.write("a/b", b"one", generation=0)
    assert bucket.read("a/b") == Content(b"one", first.generation)
    with pytest.raises(ConflictError):
        bucket.write("a/b", b"two", generation=0)
    assert bucket.write("a/b", b"one", generation=0).generation == first.generation
    assert content(bucket, "a/b").data == b"one"


def test_compare_and_swap(bucket: Bucket) -> None:
    first = bucket.write("p", b"one", generation=0)
    second = bucket.write("p", b"two", generation=first.generation)
    assert second.generation > first.generation
    with pytest.raises(ConflictError):
        bucket.write("p", b"three", generation=first.generation)
    assert bucket.write("p", b"two", generation=first.generation).generation == second.generation
    assert bucket.write("p", b"two", generation=second.generation).generation > second.generation
    with pytest.raises(ConflictError):
        bucket.write("absent", b"x", generation=second.generation)


def test_delete_needs_the_generation(bucket: Bucket) -> None:
    first = bucket.write("a/b/c", b"one", generation=0)
    second = bucket.write("a/b/c", b"two", generation=first.generation)
    assert not bucket.delete("a/b/c", generation=first.generation)
    assert bucket.delete("a/b/c", generation=second.generation)
    assert bucket.read("a/b/c") is None
    assert bucket.write("a/b/c", b"one", generation=0).generation > second.generation


def test_list_is_by_prefix_and_sorted(bucket: Bucket) -> None:
    for name in ("b/2", "b/1", "bb/1", "a"):
        bucket.write(name, name.encode(), generation=0)
    assert names(bucket) == ["a", "b/1", "b/2", "bb/1"]
    assert [(stored.name, stored.size) for stored in bucket.list("b/")] == [("b/1", 3), ("b/2", 3)]


@pytest.mark.parametrize("size", [0, 1, 3 << 20, 9 << 20])
def test_a_file_comes_back_as_it_went(bucket: Bucket, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    source = tmp_path / "source"
    source.write_bytes(data)
    digest = digest_file(source)
    assert digest == digest_bytes(data)
    stored = bucket.upload("x/file", source, digest)
    assert stored.holds(digest)
    assert bucket.upload("x/file", source, digest).generation == stored.generation
    assert (
        bucket.upload("x/file", source, digest, generation=stored.generation).generation > stored.generation
    )
    copied = bucket.copy("x/file", "y/copy", digest)
    assert copied.holds(digest)
    assert bucket.copy("x/file", "y/copy", digest).generation == copied.generation
    for name in ("x/file", "y/copy"):
        sink = io.BytesIO()
        bucket.download(name, sink)
        assert sink.getvalue() == data
        found = bucket.stat(name)
        assert found is not None
        assert found.holds(digest)


def test_other_bytes_under_a_taken_name_are_refused(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode())
    bucket.upload("f", tmp_path / "one", digest_file(tmp_path / "one"))
    with pytest.raises(ConflictError):
        bucket.upload("f", tmp_path / "two", digest_file(tmp_path / "two"))
    assert content(bucket, "f").data == b"one"


def test_a_file_that_changed_since_it_was_digested_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"before")
    digest = digest_file(source)
    source.write_bytes(b"after!")
    with pytest.raises(PipelineError):
        bucket.upload("f", source, digest)


def test_read_refuses_what_is_too_large(bucket: Bucket) -> None:
    bucket.write("f", b"12345", generation=0)
    assert content(bucket, "f").data == b"12345"
    with pytest.raises(DataError, match="larger than 4 bytes"):
        bucket.read("f", limit=4)


def test_a_bad_name_is_refused_everywhere(bucket: Bucket) -> None:
    for call in (bucket.read, bucket.stat):
        with pytest.raises(UsageError):
            call("../x")
    with pytest.raises(UsageError):
        bucket.write("../x", b"", generation=0)
    with pytest.raises(UsageError):
        bucket.delete("../x", generation=1)


def test_one_of_many_threads_wins_each_swap(bucket: Bucket) -> None:
    bucket.write("p", b"start", generation=0)

    def swap(worker: int) -> int:
        won = 0
        for turn in range(5):
            try:
                bucket.write("p", f"{worker}.{turn}".encode(), generation=content(bucket, "p").generation)
                won += 1
            except ConflictError:
                pass
        return won

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(swap, range(8))) >= 5


def test_writable_leaves_nothing(bucket: Bucket, tmp_path: Path) -> None:
    bucket.check_writable()
    assert names(bucket) == []
    assert list(tmp_path.iterdir()) == []


def test_a_local_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for uri in (str(tmp_path / "file"), str(tmp_path / "file" / "bucket"), "/proc/none/bucket"):
        with pytest.raises(StorageError, match="cannot write"):
            check_writable(uri)
        with pytest.raises(StorageError, match="cannot write"):
            open_bucket(uri).write("a", b"", generation=0)


def count_up(uri: str, turns: int) -> None:
    """Adds 1 to a counter by compare-and-swap, `turns` times."""
    bucket = open_bucket(uri)
    done = 0
    while done < turns:
        now = content(bucket, "counter")
        try:
            count = int(now.data.split()[0]) + 1
            bucket.write("counter", b"%d by %d" % (count, os.getpid()), generation=now.generation)
            done += 1
        except ConflictError:
            pass


def test_no_update_is_lost_between_processes(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path))
    bucket.write("counter", b"0", generation=0)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=count_up, args=(bucket.uri, 25)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert content(bucket, "counter").data.startswith(b"100 ")


@pytest.mark.parametrize("deadline", [0, -1, float("nan"), float("inf")])
def test_a_deadline_must_be_positive(tmp_path: Path, deadline: float) -> None:
    with pytest.raises(UsageError, match="deadline"):
        open_bucket(str(tmp_path), deadline=deadline)


def test_the_environment_sets_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET_DEADLINE", "soon")
    with pytest.raises(UsageError, match="BUCKET_DEADLINE='soon'"):
        open_bucket(str(tmp_path))
