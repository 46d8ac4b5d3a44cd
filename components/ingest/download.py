"""TFDS's own download, in a process of its own: its client has no timeout, so only a kill bounds it."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import tenacity

from components.errors import ERRORS, StorageError, reported
from components.ingest.archives import (
    Archive,
    NonMatchingChecksumError,
    download_manager,
    not_registered,
    registered,
)

_PREFLIGHT_ATTEMPTS = 3
_PREFLIGHT_SECONDS = 10
_DOWNLOAD_SECONDS = 900
_PROJECT_DIR = Path(__file__).parents[2]


def fill_cache(dataset: str, archives: Iterable[Archive], scratch_dir: Path) -> None:
    """Has TFDS download the archives from their source into its cache under `scratch_dir`.

    Raises:
      StorageError: a source does not answer, refuses, or takes more than 15 minutes.
      DataError: a download has another checksum than the registered one.
    """
    hint = f"dataset={dataset!r} has no bundled copy, so name a mirror if its source cannot be reached"
    for archive in archives:
        _answers(archive.url, hint)
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, dataset, str(scratch_dir)],
            env={
                **os.environ,
                "PYTHONPATH": f"{_PROJECT_DIR}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
                "PYTHONIOENCODING": "utf-8",
            },
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=_DOWNLOAD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise StorageError(f"download took more than {_DOWNLOAD_SECONDS} s; {hint}") from None
    if done.returncode:
        kind, _, message = done.stderr.strip().rpartition("\n")[2].partition(": ")
        if kind not in ERRORS:  # a bug, or a kill: show all of it
            raise RuntimeError(f"{' '.join(done.args)} exited with {done.returncode}:\n{done.stderr}")
        raise ERRORS[kind](f"{message}; {hint}")


def _answers(url: str, hint: str) -> None:
    """Raises StorageError unless the host answers: TFDS itself would retry for minutes."""
    import requests

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(requests.RequestException),
        stop=tenacity.stop_after_attempt(_PREFLIGHT_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=2),
        reraise=True,
    )
    try:
        attempts(requests.head, url, timeout=_PREFLIGHT_SECONDS)
    except requests.RequestException as error:
        raise StorageError(f"{url}: no answer ({type(error).__name__}); {hint}") from error


def _download(dataset: str, scratch_dir: Path) -> None:
    import requests
    import tensorflow_datasets as tfds

    manager = download_manager(dataset, scratch_dir, None)
    for archive in registered(dataset):
        try:
            manager.download(archive.url)
        except NonMatchingChecksumError as error:
            raise not_registered(archive) from error
        except (requests.RequestException, tfds.download.DownloadError, OSError) as error:
            raise StorageError(f"{archive.url}: {' '.join(str(error).split())[:200]}") from error


if __name__ == "__main__":
    with reported():
        _download(sys.argv[1], Path(sys.argv[2]))
