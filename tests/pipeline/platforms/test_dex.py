"""The login's password goes to the gateway that it is for, and to nobody else."""

import dataclasses

import pytest

from components.errors import StorageError
from pipeline.platforms import dex
from tests.fakes.dex import DexGateway, Response
from tests.fakes.loopback import Loopback, Request

USER, PASSWORD = "user@example.com", "canary"


@dataclasses.dataclass
class Elsewhere(DexGateway):
    """A gateway that answers one of its paths with a redirect to another place."""

    path: str = ""
    location: str = ""

    def respond(self, request: Request) -> Response:
        if request.path == self.path:
            return 302, b"", {"Location": self.location}
        return super().respond(request)


@dataclasses.dataclass
class Eager(Loopback):
    """Looks like a login page to everybody."""

    def respond(self, request: Request) -> Response:
        return 200, b"<form method=post></form>", {}


def log_in(host: str) -> str:
    return dex.session_cookie(host, USER, PASSWORD, timeout=5)


def test_a_login_ends_with_the_sessions_cookie() -> None:
    with DexGateway(users={USER: PASSWORD}) as gateway:
        assert log_in(gateway.url) == "oauth2_proxy_kubeflow=session-1"


@pytest.mark.parametrize("path", ["/", "/dex/auth", "/dex/auth/local", "/oauth2/callback"])
def test_a_login_that_leads_to_another_host_ends_there(path: str) -> None:
    with (
        Eager() as other,
        Elsewhere(users={USER: PASSWORD}, path=path, location=f"{other.url}/dex/auth/local/login") as gateway,
    ):
        with pytest.raises(
            StorageError, match=f"login leads to {other.url}, where a password for this"
        ) as error:
            log_in(gateway.url)
        assert other.log == []
    assert PASSWORD not in str(error.value)


def test_another_port_of_the_same_host_is_another_host() -> None:
    """As all fakes here are; a forwarded port's neighbour may belong to anybody."""
    assert not dex.is_within("http://127.0.0.1:81/dex/auth", "http://127.0.0.1:80")


@pytest.mark.parametrize(
    ("url", "within"),
    [
        ("https://gateway.example/dex/auth", True),
        ("http://gateway.example/dex/auth", False),
        ("https://gateway.example.evil.example/dex/auth", False),
        ("https://gateway.example@evil.example/dex/auth", False),
        ("https://dex.gateway.example/dex/auth", False),
    ],
)
def test_tls_is_not_given_up(url: str, within: bool) -> None:
    assert dex.is_within(url, "https://gateway.example") is within


def test_tls_may_be_taken_up() -> None:
    assert dex.is_within("https://gateway.example/", "http://gateway.example")


def test_a_host_that_speaks_no_http_is_one_line() -> None:
    @dataclasses.dataclass
    class Broken(Loopback):
        def respond(self, request: Request) -> Response:
            return 99_999, b"", {}

    with Broken() as gateway, pytest.raises(StorageError, match="login failed: no HTTP") as error:
        log_in(gateway.url)
    assert "\n" not in str(error.value)
