"""A loopback HTTP server that serves a directory, with real faults; also as a proxy to the whole world."""

import contextlib
import datetime
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class MirrorServer(http.server.ThreadingHTTPServer):
    """Serves a directory's files by their last path segment; `faults` are used up one by one, per file.

    Faults: a status code, "short" (half the body under the full Content-Length), "reset" (no answer),
    "gzip" (a Content-Encoding header, as some servers add to .gz files), "drip" (a byte at a time).

    A client that is told to use it as its proxy finds every host here: http:// and, with the certificate that
    `impersonate` writes, https:// too.
    """

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.directory = directory
        self.faults: dict[str, list[int | str]] = {}
        self.requests: list[str] = []

    def impersonate(self, host: str, certificate_path: Path) -> None:
        """Answers for https://`host`; a client that trusts the certificate believes it."""
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate_path.write_bytes(_self_signed(host))
        self._tls.load_cert_chain(certificate_path)

    def tunnelled(self, connection: socket.socket) -> ssl.SSLSocket:
        """Returns a proxied connection with TLS around it."""
        return self._tls.wrap_socket(connection, server_side=True)

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

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        with self.server.tunnelled(self.connection) as tunnel:
            _Handler(tunnel, self.client_address, self.server)

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


def _self_signed(host: str) -> bytes:
    """Returns a key and a certificate for `host`, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)


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
