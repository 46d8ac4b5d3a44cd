"""Receivers as bad as they come: the sender ends, tells nobody else, and never says the address."""

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterator

import pytest

from components.notify import core, webhook
from tests.fakes.loopback import Loopback, Request

SECRET = "canary"


@dataclasses.dataclass
class Moved(Loopback):
    """Sends everybody on to another address."""

    status: int = 302
    location: str = ""

    def respond(self, request: Request) -> tuple[int, bytes, dict[str, str]]:
        return self.status, b"", {"Location": self.location}


@contextlib.contextmanager
def raw_server(answer: bytes, *, drips: bool = False) -> Iterator[str]:
    """Sends the same bytes to everybody; a byte at a time, and then again, if it drips."""
    done = threading.Event()

    def serve(listener: socket.socket) -> None:
        while not done.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"" if drips else answer)
                    while drips and not done.wait(0.02):
                        connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/{SECRET}"
        finally:
            done.set()
            thread.join()


def notify(url: str) -> bool:
    told = {"state": "FAILED", "run": "run-1", "run_id": "1", "error_message": "", "run_page": ""}
    return core.notify(notify_webhook=url, bucket_uri="/nowhere", **told)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between attempts


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as other, Moved(status=status, location=f"{other.url}/elsewhere") as moved:
        assert not notify(f"{moved.url}/{SECRET}")
        assert len(moved.log) == 1
        assert other.log == []
    assert f"not told: it answered {status}, and redirects are not followed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer",
    [
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 99999 \r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
        b"\0" * 99,
    ],
    ids=["no status line", "no such status", "endless headers", "noise"],
)
def test_a_receiver_that_speaks_no_http_does_not_fail_the_run(
    answer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with raw_server(answer) as url:
        assert not notify(url)
    shown = capsys.readouterr()
    assert "notify: the webhook was not told: " in shown.out
    assert SECRET not in shown.out + shown.err


def test_a_receiver_that_drips_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Each byte is in time for a socket, the answer never comes."""
    with raw_server(b"H", drips=True) as url:
        reason = webhook.post(url, b"{}", seconds=0.5)
    assert reason == "it did not answer within 0.5 s"
    assert capsys.readouterr().err == ""


WRONG = [
    "http://127.0.0.1:port/canary",
    "http://127.0.0.1:99999/canary",
    "http://127.0.0.1:0/canary",
    "http://user:canary@127.0.0.1/",
    "http://[::1/canary",
    "http://127.0.0.1/canary\x7f",
    "http://127.0.0.1/ca nary",
    "http://127.0.0.1/c\u00e4nary?canary",
    "http:///canary",
    "file:///canary",
    "env:https://example.com/canary",
]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("from_variable", [False, True])
def test_what_is_no_address_does_not_fail_the_run_and_is_not_said(
    wrong: str, from_variable: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEBHOOK", wrong)
    assert not notify("env:WEBHOOK" if from_variable else wrong)
    shown = capsys.readouterr()
    name = "the variable WEBHOOK" if from_variable else "notify_webhook"
    assert shown.out.splitlines()[-1] == f"notify: no webhook was told: {name} holds no address"
    assert SECRET not in shown.out + shown.err


def test_a_name_that_cannot_be_looked_up_does_not_fail_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert not notify(f"http://{'x' * 64}.invalid/{SECRET}")  # longer than a label may be
    shown = capsys.readouterr()
    assert "notify: the webhook was not told: " in shown.out
    assert SECRET not in shown.out + shown.err
