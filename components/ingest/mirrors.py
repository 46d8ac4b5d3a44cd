"""Where archives are copied from: a directory, an http(s) base or a bucket prefix.

A remote mirror gets timeouts, retries with backoff, and never more than an archive's registered size.
"""

import contextlib
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

import tenacity

from components.errors import StorageError
from components.ingest import directory
from components.ingest.archives import Archive
from components.storage.opening import open_bucket

_CONNECT_SECONDS = 10
_READ_SECONDS = 30
_BUCKET_SECONDS = 60.0
_FILE_SECONDS = 300  # against a server that drips
_ATTEMPTS = 4
_BACKOFF_SECONDS = 0.5
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_CHUNK = 1 << 16


class _TransientError(Exception):
    """Worth another attempt."""


def gather(
    mirror: str, archives: Iterable[Archive], scratch_dir: Path, twins: Mapping[Archive, Path]
) -> dict[Archive, Path]:
    """Returns where the archives of a mirror are, as found: not verified yet.

    Args:
      mirror: a directory, file://, http(s):// or gs://; checked by `Settings`.
      archives: what it must hold; a remote one, by file name.
      scratch_dir: where a remote mirror's archives are copied to.
      twins: packed archives that are at hand, see `directory.find`.

    Raises:
      StorageError: the mirror is missing, lacks an archive, refuses or does not answer.
    """
    parts = urllib.parse.urlsplit(mirror if "://" in mirror else "")
    if parts.scheme in ("", "file"):
        folder = Path(urllib.parse.unquote(parts.path) if parts.scheme else mirror)
        return directory.find(mirror, folder, archives, twins)
    fetch = _fetch_gs if parts.scheme == "gs" else _fetch_http
    copies = {archive: scratch_dir / archive.filename for archive in archives}
    for archive, path in copies.items():
        fetch(f"{mirror.rstrip('/')}/{archive.filename}", archive, path)
    return copies


def _fetch_http(url: str, archive: Archive, path: Path) -> None:
    try:
        _retrying()(_get, url, archive.size, path)
    except _TransientError as error:
        raise StorageError(f"{url}: {error} ({_ATTEMPTS} attempts)") from error


def _get(url: str, size: int, path: Path) -> None:
    """One attempt: the bytes as the server stores them, at most one beyond `size`."""
    import requests
    import urllib3

    try:
        with requests.get(
            url,
            stream=True,
            timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            headers={"Accept-Encoding": "identity"},
        ) as response:
            if response.status_code in _TRANSIENT:
                raise _TransientError(f"status {response.status_code}")
            if response.status_code != 200:
                raise StorageError(f"{url}: status {response.status_code}, expected 200")
            with path.open("wb") as file:
                _copy(lambda: response.raw.read1(_CHUNK, decode_content=False), file, size, url)
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise _TransientError(_short(error)) from error
    except requests.RequestException as error:
        raise StorageError(f"{url}: {_short(error)}") from error


def _copy(read: Callable[[], bytes], file: IO[bytes], size: int, url: str) -> None:
    """Copies what arrives as it arrives, so that a server that drips is noticed."""
    started, copied = time.monotonic(), 0
    while copied <= size and (chunk := read()):  # one byte too many shows that it is too long
        copied += file.write(chunk[: size + 1 - copied])
        if time.monotonic() - started > _FILE_SECONDS:
            raise StorageError(f"{url}: {copied} of {size} bytes after {_FILE_SECONDS} s")


def _fetch_gs(uri: str, archive: Archive, path: Path) -> None:
    bucket = open_bucket(uri.rpartition("/")[0], deadline=_BUCKET_SECONDS)
    if bucket.stat(archive.filename) is None:
        raise StorageError(f"{uri}: no such object")
    with path.open("wb") as file, contextlib.suppress(_FullError):
        bucket.download(archive.filename, _Bounded(file, archive.size + 1))


class _FullError(Exception):
    """Enough has arrived to see that the rest is not wanted."""


class _Bounded:
    """A bucket's sink that takes no more than `limit` bytes."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file = file
        self._left = limit

    def write(self, chunk: bytes) -> None:
        self._left -= self._file.write(chunk[: self._left])
        if not self._left:
            raise _FullError


def _retrying() -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_TransientError),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=_BACKOFF_SECONDS, max=8),
        reraise=True,
    )


def _short(error: BaseException) -> str:
    """Returns a client library's error as one line: what lies at the bottom of it."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
