"""A bucket in Google Cloud Storage, through google-cloud-storage and Application Default Credentials.

What the client library does not do is done here. A lost acknowledgement makes its retry fail a precondition
that the first attempt had met, so a failed precondition is settled by reading the object back. Its error
texts carry URLs and server bodies, so one line of our own replaces them. No operation takes longer than it is
allowed to (`allowance`), and no answer is believed that is not the store's (`gcs_answers`).
"""

import contextlib
import io
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from components.errors import DataError, PipelineError, StorageError
from components.storage import gcs_client
from components.storage.allowance import OutOfTimeError, allowed
from components.storage.bucket import READ_LIMIT_BYTES, ConflictError, Content, Sink, StoredObject, pass_on
from components.storage.digests import Digest, digest_bytes
from components.storage.gcs_answers import AnswerError
from components.storage.uri import BucketUri, checked_name

# Up to here a file goes up in one request, streamed from disk, and a broken connection starts it again.
# Beyond, it is a resumable upload in chunks (256 KiB times n), one of which is in memory while it is sent.
SINGLE_REQUEST_BYTES = 512 << 20
CHUNK_BYTES = 16 << 20
_SMALL_BYTES = 256 << 10
_CONTENT_TYPE = "application/octet-stream"
_PROBE = ".writable"
_NO_SUCH_GENERATION = 1  # real ones are microseconds since 1970


class GcsBucket:
    """The bucket at a `gs://` URI."""

    def __init__(self, where: BucketUri, *, deadline: float) -> None:
        from google.cloud.storage.retry import DEFAULT_RETRY

        self.uri = f"gs://{where.bucket}/{where.path}".removesuffix("/")
        self._prefix = f"{where.path}/" if where.path else ""
        self._deadline = deadline
        client, self._session = gcs_client.connect()
        weakref.finalize(self, client.close)
        self._bucket = client.bucket(where.bucket)
        self._exists = False
        # The last attempt may start just before the retries' half of the deadline is over.
        retry = DEFAULT_RETRY.with_timeout(deadline / 2).with_delay(initial=0.2, maximum=10, multiplier=2)
        connect, response = min(10.0, deadline / 2), min(60.0, deadline / 2)
        self._patience: dict[str, Any] = {"retry": retry, "timeout": (connect, response)}

    def read(self, name: str, limit: int = READ_LIMIT_BYTES) -> Content | None:
        """See `Bucket.read`."""
        blob = self._blob(name)
        sink = _LimitedSink(limit, f"{self.uri}/{name}")
        with self._reported("read", name):
            if not self._found(lambda: self._fetch(blob, sink)):
                return None
        return Content(b"".join(sink.chunks), int(blob.generation))

    def stat(self, name: str) -> StoredObject | None:
        """See `Bucket.stat`."""
        blob = self._blob(name)
        with self._reported("read", name):
            return self._stored(blob) if self._found(lambda: blob.reload(**self._patience)) else None

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Bucket.list`."""
        if prefix:
            checked_name(prefix.removesuffix("/"))
        pages = self._bucket.list_blobs(
            prefix=f"{self._prefix}{prefix}",
            fields="kind,items(name,size,generation,updated,crc32c,metadata),nextPageToken",
            **self._patience,
        ).pages
        while True:
            with self._reported("list", prefix):  # each page is an operation; what the caller does is none
                page = next(pages, None)
            if page is None:
                return
            for blob in page:
                yield self._stored(blob)

    def write(self, name: str, data: bytes, *, generation: int) -> StoredObject:
        """See `Bucket.write`."""
        blob, digest = self._blob(name), digest_bytes(data)

        def send() -> StoredObject:
            self._upload(blob, io.BytesIO(data), digest.size, generation)
            return self._stored(blob)

        with self._reported("write", name):
            return self._settled(name, digest, generation, send)

    def upload(self, name: str, path: Path, digest: Digest, *, generation: int = 0) -> StoredObject:
        """See `Bucket.upload`."""

        def send() -> StoredObject:
            if _SMALL_BYTES < digest.size <= SINGLE_REQUEST_BYTES:
                return self._post(name, path, digest, generation)
            blob = self._blob(name)
            blob.chunk_size = CHUNK_BYTES
            with path.open("rb") as file:
                self._upload(blob, file, digest.size, generation)
            return self._stored(blob)

        with self._reported("write", name):
            return self._settled(name, digest, generation, send)

    def copy(self, source: str, name: str, digest: Digest) -> StoredObject:
        """See `Bucket.copy`."""
        blob, source_blob = self._blob(name), self._blob(source)

        def rewrite() -> StoredObject:
            token, _, _ = blob.rewrite(source_blob, if_generation_match=0, **self._patience)
            while token is not None:
                token, _, _ = blob.rewrite(source_blob, token=token, if_generation_match=0, **self._patience)
            return self._stored(blob)

        def settle() -> None:
            stored.append(self._settled(name, digest, 0, rewrite))

        stored: list[StoredObject] = []
        with self._reported("write", name):
            if not self._found(settle):
                raise DataError(f"{self.uri}/{source}: no such object")
        return stored[0]

    def download(self, name: str, sink: Sink) -> None:
        """See `Bucket.download`."""
        blob = self._blob(name)
        with self._reported("read", name):
            if not self._found(lambda: self._fetch(blob, _CountingSink(sink, f"{self.uri}/{name}"))):
                raise DataError(f"{self.uri}/{name}: no such object")

    def delete(self, name: str, *, generation: int) -> bool:
        """See `Bucket.delete`."""
        from google.api_core.exceptions import PreconditionFailed

        if generation == 0:
            return False
        blob = self._blob(name)
        with self._reported("delete", name):
            try:
                return self._found(lambda: blob.delete(if_generation_match=generation, **self._patience))
            except PreconditionFailed:
                return False

    def remove_unfinished(self, older_than: float) -> int:  # noqa: ARG002  # the protocol's
        """See `Bucket.remove_unfinished`. An unfinished upload is no object here; the store forgets it."""
        return 0

    def check_writable(self) -> None:
        """See `Bucket.check_writable`.

        Tries a write whose precondition no object can meet: permission is checked first, nothing is written.
        """
        try:
            written = self.write(_PROBE, b"", generation=_NO_SUCH_GENERATION)
        except ConflictError:
            return
        self.delete(_PROBE, generation=written.generation)
        raise StorageError(
            f"bucket {self.uri}: ignores generation preconditions; publishing is not safe there"
        )

    def _blob(self, name: str) -> Any:
        return self._bucket.blob(checked_name(f"{self._prefix}{checked_name(name)}"))

    def _stored(self, blob: Any) -> StoredObject:
        return StoredObject(
            name=blob.name.removeprefix(self._prefix),
            size=int(blob.size),
            generation=int(blob.generation),
            updated=blob.updated.timestamp(),
            crc32c=blob.crc32c,
        )

    def _fetch(self, blob: Any, sink: "_CountingSink") -> None:
        """Streams an object, and goes on for as long as each attempt brings some of it."""
        from google.api_core.exceptions import RetryError

        while True:
            start = sink.received
            try:
                blob.download_to_file(
                    sink, start=start or None, raw_download=True, checksum="crc32c", **self._patience
                )
                return
            except RetryError:
                if sink.received == start:
                    raise

    def _upload(self, blob: Any, file: BinaryIO, size: int, generation: int) -> None:
        blob.upload_from_file(
            file,
            size=size,
            content_type=_CONTENT_TYPE,
            if_generation_match=generation,
            checksum="crc32c",
            **self._patience,
        )

    def _post(self, name: str, path: Path, digest: Digest, generation: int) -> StoredObject:
        """Uploads a file in one request, as the JSON API's `uploadType=media`.

        The library's own single request is a MIME multipart, which both ends copy and scan: twice the time.
        """
        from google.api_core.exceptions import from_http_response

        url = f"{self._bucket.client.api_endpoint}/upload/storage/v1/b/{self._bucket.name}/o"
        query = {
            "uploadType": "media",
            "name": self._blob(name).name,
            "ifGenerationMatch": str(generation),
        }
        headers = {"Content-Type": _CONTENT_TYPE, "X-Goog-Hash": f"crc32c={digest.crc32c}"}

        def attempt() -> StoredObject:
            timeout = self._patience["timeout"]
            with path.open("rb") as file:  # one large write is cheaper than many small ones
                body = file.read() if digest.size <= CHUNK_BYTES else file
                response = self._session.post(url, params=query, data=body, headers=headers, timeout=timeout)
            if not response.ok:
                raise from_http_response(response)
            written = response.json()
            updated = datetime.fromisoformat(written["updated"]).timestamp()
            return StoredObject(
                name, int(written["size"]), int(written["generation"]), updated, written.get("crc32c")
            )

        stored: StoredObject = self._patience["retry"](attempt)()
        return stored

    def _settled(
        self, name: str, digest: Digest, generation: int, send: Callable[[], StoredObject]
    ) -> StoredObject:
        """Sends an object and returns what is stored, if that is what `digest` says."""
        from google.api_core.exceptions import PreconditionFailed

        try:
            stored = send()
        except PreconditionFailed:
            existing = self.stat(name)
            if existing and existing.holds(digest):
                return existing
            current = existing.generation if existing else 0
            raise ConflictError(f"{self.uri}/{name}: is at generation {current}, not {generation}") from None
        if not stored.holds(digest):
            self.delete(stored.name, generation=stored.generation)
            raise DataError(f"{self.uri}/{stored.name}: what arrived is not what was sent; it was removed")
        return stored

    def _found(self, request: Any) -> bool:
        """Makes a request; returns False if its object does not exist, in a bucket that does."""
        from google.api_core.exceptions import NotFound

        try:
            request()
        except NotFound:
            if not self._exists:
                probe = self._bucket.list_blobs(max_results=1, fields="kind,items(name)", **self._patience)
                next(iter(probe), None)
                self._exists = True
            return False
        return True

    @contextlib.contextmanager
    def _reported(self, verb: str, name: str) -> Iterator[None]:
        """Limits an operation's time; turns what the library raises into one line without URLs or bodies."""
        try:
            with allowed(self._deadline):
                yield
        except PipelineError:
            raise
        except Exception as error:
            reason = _reason(error, self._deadline)
            if reason is None:
                raise
            where = f" {name}" if name else ""
            raise StorageError(f"bucket {self.uri}: cannot {verb}{where}: {reason}") from None


class _CountingSink:
    """Passes chunks on and counts their bytes."""

    def __init__(self, sink: Sink, where: str) -> None:
        self._sink = sink
        self._where = where
        self.received = 0

    def write(self, chunk: bytes) -> int:
        pass_on(chunk, self._sink, self._where)
        self.received += len(chunk)
        return len(chunk)


class _LimitedSink(_CountingSink):
    """Collects chunks, up to `limit` bytes."""

    def __init__(self, limit: int, where: str) -> None:
        super().__init__(self, where)
        self._limit = limit
        self.chunks: list[bytes] = []

    def write(self, chunk: bytes) -> int:
        self.received += len(chunk)
        if self.received > self._limit:
            raise DataError(f"{self._where}: larger than {self._limit} bytes")
        self.chunks.append(chunk)
        return len(chunk)


def _reason(error: Exception, deadline: float) -> str | None:
    """Returns why the store failed, or None if this is a bug of ours."""
    from google.api_core import exceptions
    from google.cloud.storage.exceptions import InvalidResponse

    if isinstance(error, exceptions.RetryError):
        cause = _reason(error.cause, deadline) if isinstance(error.cause, Exception) else None
        return f"gave up after {deadline:g} s: {cause or 'no answer'}"
    if isinstance(error, OutOfTimeError):
        return f"gave up after {deadline:g} s: too slow"
    if isinstance(error, InvalidResponse):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, exceptions.GoogleAPICallError):
        return _refusal(error)
    return _failed_transport(error)


def _refusal(error: Any) -> str:
    from google.api_core import exceptions

    if isinstance(error, exceptions.NotFound):
        return "no such bucket"
    if isinstance(error, exceptions.Unauthorized | exceptions.Forbidden):
        return f"HTTP {error.code}, these credentials may not"
    return f"HTTP {error.code}" if error.code else type(error).__name__


def _failed_transport(error: Exception) -> str | None:
    import google.auth.exceptions
    import requests
    import urllib3
    from google.cloud.storage.exceptions import DataCorruption

    if isinstance(error, AnswerError):
        return str(error)
    if isinstance(error, DataCorruption):
        return "what arrived fails its checksum"
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return f"the credentials were refused ({type(error).__name__})"
    network = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
    return f"no connection ({type(error).__name__})" if isinstance(error, network) else None
