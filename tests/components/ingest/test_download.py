import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.dataset import Dataset
from components.errors import DataError, StorageError
from components.ingest import core, download
from tests.components.ingest.test_core import BUNDLED, ingest
from tests.fakes.mirror_server import MirrorServer, serving


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MirrorServer]:
    """Every host that TFDS may ask, behind a proxy; they all hold MNIST's archives."""
    shutil.copytree(BUNDLED, tmp_path / "served")
    with serving(tmp_path / "served") as server:
        server.impersonate("storage.googleapis.com", tmp_path / "certificate.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
        for scheme in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(scheme, f"http://127.0.0.1:{server.server_port}")
        yield server


def test_tfds_downloads_what_is_not_bundled(
    tmp_path: Path, world: MirrorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_BUNDLED_DIR", tmp_path / "nothing")
    facts = ingest(tmp_path / "data")
    assert facts["source"] == "TFDS (https://storage.googleapis.com/cvdf-datasets/mnist)"
    assert len(world.requests) == 4
    Dataset.open(tmp_path / "data").verify()


def test_a_download_that_is_not_the_registered_archive(tmp_path: Path, world: MirrorServer) -> None:
    with pytest.raises(DataError, match=r"^http://codh.*idx3-ubyte.gz: 9912422 bytes, expected 18165135; "):
        ingest(tmp_path / "data", dataset="kmnist")
    assert not (tmp_path / "data").exists()


def test_a_source_that_has_moved(tmp_path: Path, world: MirrorServer) -> None:
    shutil.rmtree(world.directory)
    with pytest.raises(StorageError, match=r"HTTP code: 404.*; dataset='kmnist' has no bundled") as error:
        ingest(tmp_path / "data", dataset="kmnist")
    assert "\n" not in str(error.value)


def test_a_stalled_download_is_given_up(
    tmp_path: Path, world: MirrorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_DOWNLOAD_SECONDS", 1.5)
    world.faults = {"train-images-idx3-ubyte.gz": ["drip"]}
    with pytest.raises(StorageError, match=r"download took more than 1.5 s; dataset='kmnist'"):
        ingest(tmp_path / "data", dataset="kmnist")


def test_no_network_is_one_line_soon(
    tmp_path: Path, world: MirrorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_PREFLIGHT_ATTEMPTS", 2)
    world.server_close()
    with pytest.raises(StorageError, match=r"^http://codh.*: no answer .*; dataset='kmnist'") as error:
        ingest(tmp_path / "data", dataset="kmnist")
    assert "\n" not in str(error.value)
