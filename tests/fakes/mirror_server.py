"""A loopback HTTP server that serves a directory, with real faults."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path


class MirrorServer(http.server.ThreadingHTTPServer):
    """Serves a directory's files by their last path segment; `faults` are used up one by one, per file.

    Faults: a status code, "short" (half the body under the full Content-Length), "reset" (no answer),
    "gzip" (a Content-Encoding header, as some servers add to .gz files), "drip" (a byte at a time).
    """

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.directory = directory
        self.faults: dict[str, list[int | str]] = {}
        self.requests: list[str] = []

    @property
    def base(self) -> str:
        """The http:// base under which the files are."""
        return f"http://127.0.0.1:{self.server_port}/some/base"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up on purpose here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MirrorServer

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.requests.append(self.path)
        fault = next(iter(self.server.faults.get(name, [])), None)
        if fault is not None:
            self.server.faults[name].pop(0)
        path = self.server.directory / name
        if fault == "reset":
            return
        if isinstance(fault, int) or not path.is_file():
            self.send_error(fault if isinstance(fault, int) else 404)
            return
        self._send(path.read_bytes(), fault)

    def _send(self, body: bytes, fault: str | None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if fault == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if fault == "drip":
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)
            return
        self.wfile.write(body[: len(body) // 2] if fault == "short" else body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Tests read `requests` instead."""

    def log_error(self, template: str, *args: object) -> None:
        """Faults are on purpose."""


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[MirrorServer]:
    """Runs a `MirrorServer` for the length of a `with` block."""
    with MirrorServer(directory) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
