"""A loopback HTTP server with a request log, bearer or cookie auth and faults at chosen requests."""

import copy
import dataclasses
import http.server
import json
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

Json = dict[str, Any]
_HTML = {"Content-Type": "text/html; charset=utf-8"}


class RefusedError(Exception):
    """What the real server would answer instead: an HTTP status and its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclasses.dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Json:
        try:
            loaded = json.loads(self.body or b"{}")
        except ValueError as error:
            raise RefusedError(400, f"body is not JSON: {error}") from None
        if not isinstance(loaded, dict):
            raise RefusedError(400, "body must be an object")
        return loaded


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens to one request: before it is acted upon, or after, in place of the answer.

    `status` answers with it, `body` with those bytes (a login page, say), else the connection drops
    unanswered; `strike` is called first (kills a client).
    """

    when: str = "before"  # or "after": the server acts, and the acknowledgement is lost
    status: int | None = None
    strike: Callable[[], None] | None = None
    body: bytes | None = None


@dataclasses.dataclass
class Loopback:
    """Serves `answer` on 127.0.0.1 until `close`; a fake inherits and implements it."""

    token: str | None = None
    cookie: str | None = None
    forbidden: bool = False
    login_page: bytes | None = None  # what a gateway answers to every path, with 200, when a session is over
    edit: Callable[[Request, Json], None] | None = (
        None  # changes an answer in place: another version's server
    )
    log: list[Request] = dataclasses.field(default_factory=list)
    faults: dict[int, Fault] = dataclasses.field(default_factory=dict)  # by index in the log

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self, request: Request) -> Json | str:
        """Returns the JSON answer, or plain text, or raises RefusedError."""
        raise RefusedError(404, f"no such path: {request.path}")

    def refusal(self, status: int, message: str) -> Json:
        """The body of an error answer."""
        return {"error": message, "code": status, "message": message}

    def changes(self) -> list[str]:
        """The requests that were meant to change something, as `METHOD path`."""
        with self._lock:
            return [f"{r.method} {r.path}" for r in self.log if r.method != "GET"]

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """Yields a list that holds `METHOD path` of the requests made in the block, once it ends."""
        seen: list[str] = []
        start = len(self.log)
        yield seen
        seen += [f"{r.method} {r.path}" for r in self.log[start:]]

    def serve(self, request: Request) -> tuple[int, bytes, dict[str, str]] | None:
        """Returns status, body and headers; None drops the connection."""
        with self._lock:
            fault = self.faults.get(len(self.log))
            self.log.append(request)
            if fault and fault.when == "before":
                return self._struck(fault)
            response = self.respond(request)
            return self._struck(fault) if fault else response

    def respond(self, request: Request) -> tuple[int, bytes, dict[str, str]]:
        """Returns status, body and headers of a request that meets no fault."""
        if self.login_page is not None:
            return 200, self.login_page, _HTML
        try:
            self._authenticate(request)
            status, answer = 200, self.answer(request)
        except RefusedError as refused:
            status, answer = refused.status, self.refusal(refused.status, refused.message)
        if isinstance(answer, str):
            return status, answer.encode(), {"Content-Type": "text/plain"}
        if self.edit:
            answer = copy.deepcopy(answer)
            self.edit(request, answer)
        return status, json.dumps(answer).encode(), {"Content-Type": "application/json"}

    def _struck(self, fault: Fault) -> tuple[int, bytes, dict[str, str]] | None:
        if fault.strike:
            fault.strike()
        if fault.body is not None:
            return fault.status or 200, fault.body, _HTML
        if fault.status is None:
            return None
        body = json.dumps(self.refusal(fault.status, "injected fault")).encode()
        return fault.status, body, {"Content-Type": "application/json"}

    def _authenticate(self, request: Request) -> None:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            raise RefusedError(401, "Request had invalid authentication credentials")
        if self.cookie and self.cookie not in request.headers.get("cookie", ""):
            raise RefusedError(401, "no session cookie")
        if self.forbidden:
            raise RefusedError(403, "the caller does not have permission")


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed in mid-request is no news."""


def _handler(owner: Loopback) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _handle(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            served = owner.serve(
                Request(
                    method=self.command,
                    path=urllib.parse.unquote(url.path),
                    query=dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)),
                    headers={key.lower(): value for key, value in self.headers.items()},
                    body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
                )
            )
            if served is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, body, headers = served
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _handle  # noqa: N815 (the base class's names)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            """The log is `owner.log`."""

    return Handler


def page(
    rows: list[Json], request: Request, size_key: str, token_key: str, largest: int
) -> tuple[list[Json], str]:
    """Returns one page of rows and the token of the next one ("" after the last)."""
    size = min(int(request.query.get(size_key) or 0) or largest, largest)
    token = request.query.get(token_key) or "0"
    if not token.isdigit():
        raise RefusedError(400, f"invalid page token {token!r}")
    start = int(token)
    following = start + size
    return rows[start:following], str(following) if following < len(rows) else ""
