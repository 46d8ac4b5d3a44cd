"""A container registry on loopback, speaking enough of the OCI distribution protocol for a push and a pull.

It refuses what a real one refuses: a blob that is not what its digest says, a manifest whose blobs were never
pushed, a name that it does not hold.
"""

import contextlib
import hashlib
import http.server
import json
import re
import threading
import uuid
from collections.abc import Iterator
from http import HTTPStatus


class ImageRegistry(http.server.ThreadingHTTPServer):
    """Keeps blobs and manifests in memory; `address` is its host:port."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"127.0.0.1:{self.server_port}"
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.manifests: dict[
            tuple[str, str], tuple[str, bytes]
        ] = {}  # (name, tag or digest): (type, content)


@contextlib.contextmanager
def serving() -> Iterator[ImageRegistry]:
    registry = ImageRegistry()
    thread = threading.Thread(target=registry.serve_forever)
    thread.start()
    try:
        yield registry
    finally:
        registry.shutdown()
        thread.join()
        registry.server_close()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ImageRegistry

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self, status: HTTPStatus, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, code: str) -> None:
        self._answer(status, json.dumps({"errors": [{"code": code, "message": code}]}).encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def do_GET(self) -> None:
        if self.path == "/v2/":
            self._answer(HTTPStatus.OK)
        elif blob := re.fullmatch(r"/v2/.+/blobs/(sha256:\w+)", self.path):
            if blob[1] in self.server.blobs:
                self._answer(HTTPStatus.OK, self.server.blobs[blob[1]], Docker_Content_Digest=blob[1])
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN")
        elif manifest := re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path):
            if stored := self.server.manifests.get((manifest[1], manifest[2])):
                digest = digest_of(stored[1])
                self._answer(HTTPStatus.OK, stored[1], Content_Type=stored[0], Docker_Content_Digest=digest)
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN")
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN")

    do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for

    def do_POST(self) -> None:
        self._body()
        upload = uuid.uuid4().hex
        self.server.uploads[upload] = b""
        location = f"{self.path.partition('?')[0].rstrip('/')}/{upload}"
        self._answer(HTTPStatus.ACCEPTED, Location=location, Docker_Upload_UUID=upload, Range="0-0")

    def do_PATCH(self) -> None:
        upload = self.path.rpartition("/")[2]
        self.server.uploads[upload] += self._body()
        end = max(len(self.server.uploads[upload]) - 1, 0)
        self._answer(HTTPStatus.ACCEPTED, Location=self.path, Docker_Upload_UUID=upload, Range=f"0-{end}")

    def do_PUT(self) -> None:
        body = self._body()
        if manifest := re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path):
            self._put_manifest(manifest[1], manifest[2], body)
            return
        path, _, query = self.path.partition("?digest=")
        content = self.server.uploads.pop(path.rpartition("/")[2]) + body
        digest = query.replace("%3A", ":")
        if digest != digest_of(content):
            self._refuse(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID")
            return
        self.server.blobs[digest] = content
        self._answer(HTTPStatus.CREATED, Docker_Content_Digest=digest)

    def _put_manifest(self, name: str, reference: str, content: bytes) -> None:
        manifest = json.loads(content)
        needed = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
        if any(digest not in self.server.blobs for digest in needed):
            self._refuse(HTTPStatus.BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN")
            return
        digest = digest_of(content)
        stored = self.headers["Content-Type"], content
        self.server.manifests[name, reference] = self.server.manifests[name, digest] = stored
        self._answer(HTTPStatus.CREATED, Docker_Content_Digest=digest)
