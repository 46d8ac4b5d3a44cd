"""What only a remote store can do: fail half-way, lie, stall, refuse."""

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import DataError, PipelineError, StorageError, UsageError
from components.storage import gcs as gcs_bucket
from components.storage.bucket import Bucket
from components.storage.digests import digest_file
from components.storage.opening import check_writable, open_bucket
from tests.fakes.gcs_fixtures import Gcs
from tests.fakes.gcs_server import FAULT_MESSAGE as CANARY
from tests.fakes.gcs_server import Fault

TRANSIENT = ["503", "429", "500", "408", "reset", "lost_ack"]


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    """A file that goes up in one piece; 9 MiB would go up as a resumable upload."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1 << 20))
    return path


@pytest.mark.parametrize("kind", TRANSIENT)
def test_a_write_survives_a_passing_fault(gcs: Gcs, kind: str) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    first = bucket.write("p", b"one", generation=0)
    gcs.proxy.faults.append(Fault(kind, "POST"))
    second = bucket.write("p", b"two", generation=first.generation)
    assert second.generation > first.generation
    found = bucket.read("p")
    assert found is not None
    assert (found.data, found.generation) == (b"two", second.generation)
    assert gcs.proxy.faults[0].times == 0


@pytest.mark.parametrize("kind", [*TRANSIENT, "truncate"])
def test_a_read_survives_a_passing_fault(gcs: Gcs, kind: str) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    bucket.write("p", b"content", generation=0)
    gcs.proxy.faults.append(Fault(kind, "alt=media"))
    found = bucket.read("p")
    assert found is not None
    assert found.data == b"content"


@pytest.mark.parametrize("way", ["multipart", "media", "resumable"])
@pytest.mark.parametrize("kind", ["503", "reset", "lost_ack"])
def test_an_upload_survives_a_passing_fault(
    gcs: Gcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, way: str
) -> None:
    monkeypatch.setattr(gcs_bucket, "SINGLE_REQUEST_BYTES", 10 << 20)
    monkeypatch.setattr(gcs_bucket, "CHUNK_BYTES", 4 << 20)
    path = tmp_path / "file"
    path.write_bytes(os.urandom({"multipart": 100_000, "media": 9 << 20, "resumable": 11 << 20}[way]))
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    gcs.proxy.faults += [Fault(kind, f"uploadType={way}"), Fault(kind, "PUT", skip=1)]
    digest = digest_file(path)
    assert bucket.upload("f", path, digest).holds(digest)
    assert [fault.times for fault in gcs.proxy.faults] == [0, 0 if way == "resumable" else 1]
    sink = io.BytesIO()
    bucket.download("f", sink)
    assert sink.getvalue() == path.read_bytes()


def test_a_truncated_download_goes_on_where_it_broke(gcs: Gcs, large_file: Path) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    bucket.upload("f", large_file, digest_file(large_file))
    gcs.proxy.faults.append(Fault("truncate", "alt=media", times=3))
    sink = io.BytesIO()
    bucket.download("f", sink)
    assert sink.getvalue() == large_file.read_bytes()


def test_a_flipped_bit_on_the_way_down_is_found(gcs: Gcs, large_file: Path) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    bucket.upload("f", large_file, digest_file(large_file))
    gcs.proxy.faults.append(Fault("flip", "alt=media"))
    with pytest.raises(StorageError, match="checksum"):
        bucket.download("f", io.BytesIO())


def test_a_lost_acknowledgement_of_a_copy_or_a_delete(gcs: Gcs, large_file: Path) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    digest = digest_file(large_file)
    bucket.upload("f", large_file, digest)
    gcs.proxy.faults.append(Fault("lost_ack", "rewriteTo"))
    copied = bucket.copy("f", "g", digest)
    assert copied.holds(digest)
    gcs.proxy.faults.append(Fault("lost_ack", "DELETE"))
    bucket.delete("g", generation=copied.generation)
    assert bucket.stat("g") is None


def test_a_listing_of_several_pages_is_whole(gcs: Gcs) -> None:
    bucket = open_bucket(gcs.new_bucket() + "/prefix", deadline=20)
    for number in range(5):
        bucket.write(f"a/{number}", b"x" * number, generation=0)
    gcs.proxy.page_objects = 2
    gcs.proxy.requests.clear()
    listed = [(stored.name, stored.size) for stored in bucket.list("a/")]
    assert listed == [(f"a/{number}", number) for number in range(5)]
    assert len(gcs.proxy.requests) == 3


def test_a_refusal_is_an_error_at_once(gcs: Gcs, large_file: Path) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=60)
    gcs.proxy.faults.append(Fault("403", "", times=-1))
    started = time.monotonic()
    with pytest.raises(StorageError, match="cannot write f: HTTP 403, these credentials may not"):
        bucket.upload("f", large_file, digest_file(large_file))
    with pytest.raises(StorageError, match="cannot read f: HTTP 403"):
        bucket.read("f")
    with pytest.raises(StorageError, match="HTTP 403"):
        bucket.check_writable()
    assert time.monotonic() - started < 5
    assert len(gcs.proxy.requests) == 3


@pytest.mark.parametrize("kind", ["503", "reset", "stall"])
def test_a_dead_service_ends_within_the_deadline(gcs: Gcs, kind: str) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=1)
    gcs.proxy.faults.append(Fault(kind, "", times=-1))
    for call in (
        lambda: bucket.read("p"),
        lambda: bucket.write("p", b"", generation=0),
        lambda: bucket.download("p", io.BytesIO()),
        lambda: list(bucket.list("")),
    ):
        started = time.monotonic()
        with pytest.raises(StorageError, match="gave up after 1 s"):
            call()
        assert time.monotonic() - started < 1.5


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="gave up after 1 s: no connection"):
        check_writable("gs://models", deadline=1)


def test_the_environments_deadline_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("BUCKET_DEADLINE", "0.5")
    with pytest.raises(StorageError, match=r"gave up after 0\.5 s: no connection"):
        open_bucket("gs://models").read("p")


def test_a_missing_bucket_is_named(gcs: Gcs, large_file: Path) -> None:
    bucket = open_bucket("gs://no-such-bucket/x", deadline=5)
    for call in (
        lambda: bucket.read("p"),
        lambda: bucket.stat("p"),
        lambda: list(bucket.list("")),
        lambda: bucket.write("p", b"", generation=0),
        lambda: bucket.upload("p", large_file, digest_file(large_file)),
        lambda: bucket.copy("p", "q", digest_file(large_file)),
        lambda: bucket.download("p", io.BytesIO()),
        lambda: bucket.delete("p", generation=1),
        bucket.check_writable,
    ):
        with pytest.raises(StorageError, match=r"bucket gs://no-such-bucket/x: cannot .*: no such bucket"):
            call()


def test_what_arrives_altered_is_removed(gcs: Gcs, large_file: Path) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=5)
    digest = digest_file(large_file)
    large_file.write_bytes(large_file.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match="not what was sent; it was removed"):
        bucket.upload("f", large_file, digest)
    assert bucket.stat("f") is None


@pytest.fixture
def no_emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No emulator, no credentials, and no metadata server to ask."""
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    return monkeypatch


def test_no_credentials(no_emulator: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="no usable Google credentials: run `gcloud auth"):
        open_bucket("gs://models")


@pytest.mark.parametrize(
    "content",
    [
        None,
        f"{CANARY} not json",
        json.dumps([CANARY]),
        json.dumps({"type": "service_account", "private_key": CANARY}),
        json.dumps({"type": CANARY}),
        json.dumps(
            {
                "type": "service_account",
                "client_email": CANARY,
                "token_uri": "http://127.0.0.1:9",
                "private_key": CANARY,
            }
        ),
    ],
)
def test_an_unusable_credentials_file(
    no_emulator: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    no_emulator.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(StorageError) as error:
        open_bucket("gs://models")
    message = str(error.value)
    assert str(path) in message
    assert CANARY not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "address",
    [
        "http://storage.example.com",
        "http://10.0.0.1:4443",
        "http://127.0.0.1.example.com",
        "http://[::2]:1",
        "x",
    ],
)
def test_the_emulator_must_be_local_unless_opted_in(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    monkeypatch.delenv("STORAGE_EMULATOR_ALLOW_REMOTE", raising=False)
    with pytest.raises(UsageError, match="STORAGE_EMULATOR_HOST: must name a loopback address"):
        open_bucket("gs://models")
    monkeypatch.setenv("STORAGE_EMULATOR_ALLOW_REMOTE", "1")
    open_bucket("gs://models")


def test_a_store_without_preconditions_is_refused(gcs: Gcs) -> None:
    uri = gcs.new_bucket()
    gcs.proxy.drop_preconditions = True
    try:
        with pytest.raises(StorageError, match="ignores generation preconditions"):
            check_writable(uri, deadline=5)
    finally:
        gcs.proxy.drop_preconditions = False
    assert gcs.server.contents(uri.removeprefix("gs://")) == {}


def test_every_error_is_one_line_without_a_url(gcs: Gcs) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=1)
    for kind in ("400", "401", "403", "404", "409", "500", "503", "reset", "truncate"):
        gcs.proxy.faults[:] = [Fault(kind, "", times=-1)]
        with pytest.raises(PipelineError) as error:
            bucket.write("p", b"x", generation=0)
        assert "\n" not in str(error.value)
        assert "http://" not in str(error.value)
        assert CANARY not in str(error.value)


def operations(bucket: Bucket, path: Path) -> dict[str, Callable[[], object]]:
    """One of each, on an object `p` with the content of `path`."""
    stored = bucket.upload("p", path, digest_file(path))
    return {
        "read": lambda: bucket.read("p"),
        "stat": lambda: bucket.stat("p"),
        "list": lambda: list(bucket.list("")),
        "write": lambda: bucket.write("q", b"new", generation=0),
        "upload": lambda: bucket.upload("r", path, digest_file(path)),
        "copy": lambda: bucket.copy("p", "s", digest_file(path)),
        "download": lambda: bucket.download("p", io.BytesIO()),
        "delete": lambda: bucket.delete("p", generation=stored.generation),
        "check": bucket.check_writable,
    }


OPERATIONS = ["read", "stat", "list", "write", "upload", "copy", "download", "delete", "check"]


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("acted", [False, True])
def test_a_login_page_is_not_the_store(gcs: Gcs, large_file: Path, name: str, acted: bool) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    operation = operations(bucket, large_file)[name]
    gcs.proxy.faults.append(Fault("acted" if acted else "answer", times=-1))
    with pytest.raises(
        StorageError, match="answered with an HTML page: is it the store that answers"
    ) as error:
        operation()
    assert "Sign in" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", OPERATIONS)
def test_nobody_is_followed_elsewhere(gcs: Gcs, large_file: Path, name: str) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    operation = operations(bucket, large_file)[name]
    gcs.proxy.faults.append(Fault("redirect", times=-1))
    before = len(gcs.proxy.requests)
    with pytest.raises(StorageError, match="was sent elsewhere, as to a login page"):
        operation()
    assert len(gcs.proxy.requests) == before + 1


def test_a_listing_of_other_names_is_refused(gcs: Gcs) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    item = {"name": "elsewhere", "size": "1", "generation": "1", "updated": "2026-01-01T00:00:00Z"}
    body = json.dumps({"kind": "storage#objects", "items": [item]}).encode()
    gcs.proxy.faults.append(Fault("answer", body=body, content_type="application/json"))
    with pytest.raises(StorageError, match="answered with something else"):
        list(bucket.list("versions/"))


def test_a_listing_without_end_is_refused(gcs: Gcs) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    body = json.dumps({"kind": "storage#objects", "nextPageToken": "again"}).encode()
    gcs.proxy.faults.append(Fault("answer", body=body, content_type="application/json", times=-1))
    with pytest.raises(StorageError, match="answered with something else"):
        list(bucket.list("versions/"))


def test_a_whole_object_is_not_taken_for_the_rest_of_one(gcs: Gcs, large_file: Path) -> None:
    """The store answers 206 to a range; a proxy that does not know ranges answers 200 and all of it."""
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    bucket.upload("f", large_file, digest_file(large_file))
    gcs.proxy.faults += [Fault("truncate", "alt=media"), Fault("unranged", "alt=media")]
    with pytest.raises(StorageError, match="a whole object instead of a part"):
        bucket.download("f", io.BytesIO())


@pytest.mark.parametrize("name", ["read", "stat", "list", "write", "upload", "copy", "download", "check"])
def test_a_store_that_drips_ends_within_the_deadline(gcs: Gcs, large_file: Path, name: str) -> None:
    """Bytes come, so no timeout between two of them ends it; all of an answer would take a minute."""
    bucket = open_bucket(gcs.new_bucket(), deadline=1)
    operation = operations(bucket, large_file)[name]
    gcs.proxy.faults.append(Fault("drip", times=-1))
    with pytest.raises(StorageError, match="gave up after 1 s: too slow"):
        operation()


def test_a_slow_line_is_not_given_up(gcs: Gcs, tmp_path: Path) -> None:
    """What moves at 64 KiB a second or more earns its time."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(300_000))
    bucket = open_bucket(gcs.new_bucket(), deadline=0.5)
    bucket.upload("f", path, digest_file(path))
    gcs.proxy.faults.append(Fault("slow", "alt=media"))
    sink = io.BytesIO()
    bucket.download("f", sink)
    assert sink.getvalue() == path.read_bytes()


@pytest.mark.parametrize("kind", ["local", "gcs"])
def test_a_full_disk_is_not_the_stores_fault(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    uri = str(tmp_path / "bucket") if kind == "local" else request.getfixturevalue("gcs").new_bucket()
    bucket = open_bucket(uri, deadline=20)
    bucket.write("f", b"content", generation=0)
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(StorageError, match="/f: cannot be kept here: No space left on device"),
    ):
        bucket.download("f", full)


def test_a_library_that_takes_no_session_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.cloud import storage

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(storage, "Client", lambda project, credentials: None)
    with pytest.raises(UsageError, match=r"google-cloud-storage [0-9.]+: its Client takes no _http any more"):
        open_bucket("gs://models")
