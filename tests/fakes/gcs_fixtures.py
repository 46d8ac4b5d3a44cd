"""Fixtures that put a real fake-gcs-server behind `gs://`; tests/conftest.py makes them known."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.fakes.gcs_server import PAGE_OBJECTS, FaultProxy, GcsServer


@dataclass
class Gcs:
    """A server, and a proxy in front of it that the client library talks to."""

    server: GcsServer
    proxy: FaultProxy
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_bucket(self) -> str:
        """Creates an empty bucket and returns its URI."""
        name = f"bucket-{next(self.numbers)}"
        self.server.make_bucket(name)
        return f"gs://{name}"


@pytest.fixture(scope="session")
def gcs_session() -> Iterator[Gcs]:
    with GcsServer() as server, FaultProxy(server.address) as proxy:
        yield Gcs(server, proxy)


@pytest.fixture
def gcs(gcs_session: Gcs, monkeypatch: pytest.MonkeyPatch) -> Gcs:
    """The server without faults, and STORAGE_EMULATOR_HOST that leads to it."""
    gcs_session.proxy.faults.clear()
    gcs_session.proxy.requests.clear()
    gcs_session.proxy.page_objects = PAGE_OBJECTS
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_session.proxy.url)
    return gcs_session
