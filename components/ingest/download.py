"""TFDS's own download, in a process of its own: its client has no timeout, so only a kill bounds it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import tenacity

from components.errors import ERRORS, StorageError, reported
from components.ingest.archives import Archive, registered

_PREFLIGHT_ATTEMPTS = 3
_PREFLIGHT_SECONDS = 10
_DOWNLOAD_SECONDS = 900
_PROJECT_DIR = Path(__file__).parents[2]


def download(dataset: str, archives: Sequence[Archive], scratch_dir: Path) -> dict[Archive, Path]:
    """Has TFDS download the archives from their source, into a folder below `scratch_dir`.

    Returns:
      Where they are, not verified yet.

    Raises:
      StorageError: a source does not answer, refuses, or takes more than 15 minutes.
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
            check=False,
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
    return {archive: scratch_dir / archive.filename for archive in archives}


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

    tfds.disable_progress_bar()
    # It has no public error for a wrong checksum: it shall note them all, and `archives.verified` compares.
    noted = scratch_dir / "checksums.tsv"
    noted.touch()
    manager = tfds.download.DownloadManager(
        download_dir=scratch_dir / "downloads",
        dataset_name=dataset,
        register_checksums=True,
        register_checksums_path=noted,
    )
    for archive in registered(dataset):
        try:
            downloaded = Path(manager.download(archive.url))
            downloaded.rename(scratch_dir / archive.filename)
        except (requests.RequestException, tfds.download.DownloadError, OSError) as error:
            raise StorageError(f"{archive.url}: {' '.join(str(error).split())[:200]}") from error


if __name__ == "__main__":
    with reported():
        _download(sys.argv[1], Path(sys.argv[2]))
