"""scan asks for a listing and for nothing else."""

import contextlib
import http.client
import math
from pathlib import Path

import pytest

from components.batches import listing, store
from components.errors import StorageError
from components.scan import core
from components.storage.opening import open_bucket
from tests.components.batches.digits import noise
from tests.fakes.gcs_fixtures import Gcs
from tests.fakes.gcs_server import PAGE_OBJECTS


def test_nowhere_is_no_request(gcs: Gcs) -> None:
    assert core.scan("") == ""
    assert gcs.proxy.requests == []


@pytest.mark.parametrize("kind", ["local", "gcs"])
def test_the_digest_is_of_the_batches_that_count(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = str(tmp_path) if kind == "local" else request.getfixturevalue("gcs").new_bucket()
    bucket = open_bucket(uri)
    assert core.scan(uri) == ""
    store.add(bucket, "one", noise(1, 10))
    one = core.scan(uri)
    assert len(one) == 64
    assert capsys.readouterr().out.splitlines()[-1] == f"scan: 1 batches in {uri}, digest {one[:12]}"
    store.add(bucket, "two", noise(2, 10))
    both = core.scan(uri)
    assert both == core.scan(uri) != one
    listing.remove(bucket, "two")
    assert core.scan(uri) == one


def test_a_place_that_is_missing_is_not_one_without_batches(gcs: Gcs, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such directory"):
        core.scan(str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no such bucket"):
        core.scan("gs://missing-bucket")


def put_many(gcs: Gcs, uri: str, count: int) -> None:
    """Writes so many manifests, over one connection."""
    with contextlib.closing(http.client.HTTPConnection(*gcs.server.address, timeout=30)) as connection:
        for number in range(count):
            query = f"uploadType=media&name=batches/{number:06}.json"
            path = f"/upload/storage/v1/b/{uri.removeprefix('gs://')}/o?{query}"
            connection.request("POST", path, b"%d" % number)
            assert connection.getresponse().read()


@pytest.mark.parametrize(("count", "page"), [(0, PAGE_OBJECTS), (1_500, PAGE_OBJECTS), (1_000, 100)])
def test_one_listing_for_each_page_of_batches_and_no_manifest_read(gcs: Gcs, count: int, page: int) -> None:
    """The last has as many pages as 10,000 batches, which take the fake server two minutes to take in."""
    gcs.proxy.page_objects = page
    uri = gcs.new_bucket()
    put_many(gcs, uri, count)
    gcs.proxy.requests.clear()
    core.scan(uri)
    listings = [line for line in gcs.proxy.requests if line.split("?")[0].endswith("/o")]
    assert gcs.proxy.requests == listings
    assert len(listings) == max(1, math.ceil(count / page)) + 1  # and one of what was removed
