import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.errors import DataError, StorageError
from components.ingest import mirrors
from tests.components.ingest.test_core import BUNDLED, ingest
from tests.fakes.gcs_fixtures import Gcs
from tests.fakes.gcs_server import Fault
from tests.fakes.mirror_server import MirrorServer, serving

IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MirrorServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(mirrors, "_BACKOFF_SECONDS", 0.01)
    shutil.copytree(BUNDLED, tmp_path / "served")
    with serving(tmp_path / "served") as server:
        yield server


@pytest.mark.parametrize("slash", ["", "/"])
def test_an_http_mirror(tmp_path: Path, server: MirrorServer, slash: str) -> None:
    facts = ingest(tmp_path / "data", mirror=server.base + slash)
    assert facts["source"] == server.base + slash
    assert len(server.requests) == 4
    assert all(path.startswith("/some/base/t") for path in server.requests)


@pytest.mark.parametrize("name", ["a[1]", "*", "a?b", "a\\b", "%41", "ä b"])
def test_a_directory_of_any_name(tmp_path: Path, name: str) -> None:
    shutil.copytree(BUNDLED, tmp_path / "mirrors" / name)
    assert ingest(tmp_path / "data", mirror=str(tmp_path / "mirrors" / name))["duplicates"] == 0


def test_transient_faults_are_retried(tmp_path: Path, server: MirrorServer) -> None:
    server.faults = {LABELS: [503, "short", "reset"], IMAGES: [429, "gzip"]}
    ingest(tmp_path / "data", mirror=server.base)
    assert len(server.requests) == 4 + 4


@pytest.mark.parametrize(
    ("faults", "problem"),
    [
        ([404], "status 404, expected 200"),
        ([403], "status 403, expected 200"),
        ([503] * 4, r"status 503 \(4 attempts\)"),
        (["short"] * 4, r"IncompleteRead.* \(4 attempts\)"),
        (["drip"], r"\d+ of 4542 bytes after 0.2 s"),
    ],
)
def test_a_fault_that_stays_is_named(
    tmp_path: Path,
    server: MirrorServer,
    monkeypatch: pytest.MonkeyPatch,
    faults: list[int | str],
    problem: str,
) -> None:
    monkeypatch.setattr(mirrors, "_FILE_SECONDS", 0.2 if faults == ["drip"] else 300)
    server.faults = {LABELS: faults}
    with pytest.raises(StorageError, match=rf"^{server.base}/{LABELS}: .*{problem}") as error:
        ingest(tmp_path / "data", mirror=server.base)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data").exists()


def test_no_more_than_the_registered_size_is_taken(tmp_path: Path, server: MirrorServer) -> None:
    (server.directory / LABELS).write_bytes(bytes(1 << 24))
    with pytest.raises(DataError, match=rf"{LABELS}: 4543 bytes, expected 4542; damaged gzip"):
        ingest(tmp_path / "data", mirror=server.base)


def test_a_login_page_is_not_an_archive(tmp_path: Path, server: MirrorServer) -> None:
    (server.directory / LABELS).write_text("<html>please log in</html>", encoding="utf-8")
    with pytest.raises(DataError, match=rf"{LABELS}: 26 bytes, expected 4542; .*Not a gzipped file"):
        ingest(tmp_path / "data", mirror=server.base)


def test_nobody_listening(tmp_path: Path, server: MirrorServer) -> None:
    server.server_close()
    with pytest.raises(StorageError, match=r"Connection refused.*\(4 attempts\)"):
        ingest(tmp_path / "data", mirror=server.base)


@pytest.fixture
def bucket(gcs: Gcs) -> str:
    """A bucket's URI; the archives are in it under `some/base/`."""
    uri = gcs.new_bucket()
    for path in BUNDLED.glob("*.gz"):
        gcs.server.put(uri.removeprefix("gs://"), f"some/base/{path.name}", path.read_bytes())
    return uri


def test_a_bucket_mirror(tmp_path: Path, gcs: Gcs, bucket: str) -> None:
    gcs.proxy.faults += [Fault("503", LABELS), Fault("truncate", "alt=media", skip=1)]
    facts = ingest(tmp_path / "data", mirror=f"{bucket}/some/base")
    assert facts["source"] == f"{bucket}/some/base"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "0 bytes, expected 4542"),
        (bytes(1 << 20), "4543 bytes, expected 4542; damaged gzip"),
        (bytes(100), "100 bytes, expected 4542; damaged gzip"),
    ],
    ids=["empty", "long", "short"],
)
def test_a_bad_archive_in_a_bucket(
    tmp_path: Path, gcs: Gcs, bucket: str, content: bytes, problem: str
) -> None:
    gcs.server.put(bucket.removeprefix("gs://"), f"some/base/{LABELS}", content)
    with pytest.raises(DataError, match=rf"^{bucket}/some/base/{LABELS}: {problem}"):
        ingest(tmp_path / "data", mirror=f"{bucket}/some/base/")


def test_what_is_not_in_the_bucket_is_named(tmp_path: Path, gcs: Gcs, bucket: str) -> None:
    gcs.server.remove(bucket.removeprefix("gs://"), f"some/base/{LABELS}")
    with pytest.raises(StorageError, match=rf"^{bucket}/some/base/{LABELS}: no such object$"):
        ingest(tmp_path / "data", mirror=f"{bucket}/some/base")
    with pytest.raises(StorageError, match=r"^bucket gs://nowhere: .*no such bucket$"):
        ingest(tmp_path / "data", mirror="gs://nowhere")
