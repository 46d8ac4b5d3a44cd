"""Timed sockets under `requests`, in the clear and under TLS."""

import contextlib
import datetime
import http.server
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from components.storage.allowance import OutOfTimeError, allowed
from components.storage.timed_http import TimedAdapter

BODY = b"x" * 400


class Handler(http.server.BaseHTTPRequestHandler):
    """GET drips, as its path says: /head before the first header, /body after the last; POST tells a size."""

    def do_GET(self) -> None:
        with contextlib.suppress(OSError):
            if self.path == "/head":
                self._drip(b"HTTP/1.1 200 OK\r\nX-Long: " + BODY)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self._drip(BODY)

    def do_POST(self) -> None:
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", str(len(str(size))))
        self.end_headers()
        self.wfile.write(str(size).encode())

    def _drip(self, data: bytes) -> None:
        for start in range(len(data)):
            self.wfile.write(data[start : start + 1])
            time.sleep(0.1)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Stays quiet."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves in the middle is what is tested."""


def certificate(directory: Path) -> Path:
    """Writes a certificate for 127.0.0.1, signed by itself, and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    pem = serialization.Encoding.PEM
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(signed.public_bytes(pem) + key.private_bytes(pem, form, secret))
    return path


@pytest.fixture(params=["http", "https"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Handler)
    if request.param == "https":
        path = certificate(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"{request.param}://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        for scheme in ("http://", "https://"):
            opened.mount(scheme, TimedAdapter())
        yield opened


@pytest.mark.parametrize("path", ["/head", "/body"])
def test_a_dripping_answer_ends_with_the_allowance(url: str, session: requests.Session, path: str) -> None:
    with pytest.raises(OutOfTimeError), allowed(0.5):
        session.get(f"{url}{path}", timeout=5)


def test_a_shorter_timeout_stays_one(url: str, session: requests.Session) -> None:
    with pytest.raises(requests.ConnectionError, match="timed out"), allowed(60):
        session.get(f"{url}/body", timeout=0.05)


def test_outside_of_an_operation_nothing_is_limited(url: str, session: requests.Session) -> None:
    assert session.post(url, data=b"abc", timeout=5).text == "3"


def test_large_bodies_go_up_whole(url: str, session: requests.Session) -> None:
    with allowed(60):
        assert session.post(url, data=bytes(5_000_001), timeout=5).text == "5000001"


@pytest.mark.parametrize("url", ["https"], indirect=True)
def test_certificates_are_still_checked(url: str, session: requests.Session, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    another = str(certificate(tmp_path / "other"))
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"), allowed(60):
        session.post(url, data=b"", timeout=5, verify=another)


def test_nothing_is_started_when_nothing_is_left(session: requests.Session) -> None:
    with pytest.raises(OutOfTimeError), allowed(0):
        session.get("http://127.0.0.1:9/", timeout=5)
