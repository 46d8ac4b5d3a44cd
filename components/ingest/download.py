"""TFDS's own download, in a process of its own: its client has no timeout, so only a kill bounds it."""

import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from components.errors import ERRORS, DataError, StorageError, reported
from components.ingest.archives import (
    Archive,
    NonMatchingChecksumError,
    builder,
    download_manager,
    registered,
)

_PREFLIGHT_SECONDS = 10
_DOWNLOAD_SECONDS = 900
_PROJECT_DIR = Path(__file__).parents[2]


def fill_cache(dataset: str, archives: Iterable[Archive], scratch_dir: Path) -> None:
    """Has TFDS download the archives from their source into its cache under `scratch_dir`.

    Raises:
      StorageError: a source does not answer, refuses, or takes more than 15 minutes.
      DataError: a download has another checksum than the registered one.
    """
    hint = f"dataset={dataset!r} has no bundled copy; name a mirror if its source cannot be reached"
    for host in sorted({archive.url.rpartition("/")[0] for archive in archives}):
        _answers(host, hint)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "components.ingest.download", dataset, str(scratch_dir)],
            env={**os.environ, "PYTHONPATH": str(_PROJECT_DIR)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_DOWNLOAD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise StorageError(f"download took more than {_DOWNLOAD_SECONDS} s; {hint}") from None
    if done.returncode:
        kind, _, message = done.stderr.strip().rpartition("\n")[2].partition(": ")
        raise ERRORS.get(kind, StorageError)(f"{message}; {hint}")


def _answers(url: str, hint: str) -> None:
    """Raises StorageError unless the host answers: TFDS itself would retry for minutes."""
    import requests

    try:
        requests.head(url, timeout=_PREFLIGHT_SECONDS)
    except requests.RequestException as error:
        host = urllib.parse.urlsplit(url).netloc
        raise StorageError(f"{host} does not answer ({type(error).__name__}); {hint}") from error


def _download(dataset: str, scratch_dir: Path) -> None:
    import requests
    import tensorflow_datasets as tfds

    source = builder(dataset, scratch_dir)
    manager = download_manager(source, scratch_dir, None)
    for archive in registered(source):
        try:
            manager.download(archive.url)
        except NonMatchingChecksumError as error:
            raise DataError(
                f"{archive.url}: not the registered archive of {archive.size} bytes, sha256 {archive.sha256}"
            ) from error
        except (requests.RequestException, tfds.download.DownloadError, OSError) as error:
            raise StorageError(f"{archive.url}: {' '.join(str(error).split())[:200]}") from error


if __name__ == "__main__":
    with reported():
        _download(sys.argv[1], Path(sys.argv[2]))
