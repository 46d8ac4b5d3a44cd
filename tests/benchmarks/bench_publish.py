"""What publishing costs, against a plain upload of the same files to the same server on loopback.

    make bench ARGS="--only publish"

Small: a 2.7 MB SavedModel, against one `upload_from_filename` after the other. Large: 500 MB in four files,
against `transfer_manager.upload_many` with threads. Publishing is all of it: hashing, uploading, manifest,
pointer and the copy for TensorFlow Serving, which Google makes inside the store and the fake by copying
bytes; and it is beside a champion, as every publishing but a bucket's first is. Each round has a server of
its own, and rounds alternate who goes first. Memory is the peak of a process that publishes one file of that
size.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from components.registry.publishing import publish
from components.storage.opening import open_bucket
from tests.benchmarks.rows import Row
from tests.fakes.gcs_server import GcsServer

SMALL_ROUNDS = 4  # for each round that was asked for: they are short
SMALL_LIMIT = 1.5
LARGE_LIMIT = 1.0
WORDS = {
    "plain": "upload_from_filename, file after file",
    "many": "transfer_manager.upload_many, threads",
}
PEAK = """
import sys
from pathlib import Path
from components.storage.opening import open_bucket
from components.registry.publishing import publish
publish(open_bucket(sys.argv[1]), sys.argv[2], {}, 0)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) // 1024)
"""


def make_model(directory: Path, large_files: int, large_bytes: int) -> Path:
    """Writes a directory with the files of a SavedModel, and weights of that size that are new every time."""
    sizes = {"saved_model.pb": 27_182, "fingerprint.pb": 56, "variables/variables.index": 484}
    sizes["assets.extra/model.json"] = 500
    shards = [f"variables/variables.data-{i:05}-of-{large_files:05}" for i in range(large_files)]
    block = os.urandom(1 << 20)
    for name, size in {**sizes, **dict.fromkeys(shards, large_bytes)}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(os.urandom(min(size, 4096)))
            for start in range(4096, size, len(block)):
                file.write(block[: size - start])
    return directory


def plain(bucket: Any, model_dir: Path) -> None:
    """Uploads file by file, as a script would."""
    for path in sorted(path for path in model_dir.rglob("*") if path.is_file()):
        bucket.blob(f"{model_dir.name}/{path.relative_to(model_dir)}").upload_from_filename(str(path))


def many(bucket: Any, model_dir: Path) -> None:
    """Uploads with the client library's own concurrency."""
    from google.cloud.storage import transfer_manager

    paths = sorted(path for path in model_dir.rglob("*") if path.is_file())
    pairs = [(str(path), bucket.blob(f"{model_dir.name}/{path.relative_to(model_dir)}")) for path in paths]
    transfer_manager.upload_many(pairs, worker_type=transfer_manager.THREAD, raise_exception=True)


def seconds(action: Callable[[], object]) -> float:
    """Returns how long it takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def compare(
    name: str, baseline: Callable[[Any, Path], None], rounds: int, files: int, size: int, at_most: float
) -> Row:
    """Alternates baseline and publishing, each with a model of its own."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        with GcsServer() as server, tempfile.TemporaryDirectory() as scratch:
            server.make_bucket("plain")
            server.make_bucket("models")
            os.environ["STORAGE_EMULATOR_HOST"] = server.url
            client = storage.Client(project="bench", credentials=AnonymousCredentials())
            ours = open_bucket("gs://models/mnist")
            list(client.list_blobs("plain"))  # both connect first
            champion = publish(ours, make_model(Path(scratch) / "champion", 1, 5_000), {}, 0)
            models = [make_model(Path(scratch) / f"{i}", files, size) for i in range(2)]
            contestants: list[Callable[[], object]] = [
                partial(baseline, client.bucket("plain"), models[0]),
                partial(publish, ours, models[1], {}, champion.generation),
            ]
            for which in (0, 1) if number % 2 else (1, 0):
                took = seconds(contestants[which])
                if number:  # the first round imports and warms up
                    times[which].append(took)
    del os.environ["STORAGE_EMULATOR_HOST"]
    return Row(
        what=f"publish {name}",
        values=times[1],
        against=WORDS[baseline.__name__],
        baseline=times[0],
        at_most=at_most,
    )


def peak_memory(size: int) -> float:
    """Returns the peak memory, MiB, of a process that publishes one file of `size` bytes."""
    with GcsServer() as server, tempfile.TemporaryDirectory() as scratch:
        server.make_bucket("models")
        model_dir = make_model(Path(scratch) / "model", 1, size)
        command = [sys.executable, "-c", PEAK, "gs://models/mnist", str(model_dir)]
        environment = {**os.environ, "STORAGE_EMULATOR_HOST": server.url}
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return int(shown.stdout)


def run(rounds: int, quick: bool) -> list[Row]:
    """Measures memory, then small and large models."""
    if quick:
        return [compare("some kB in 1 file", plain, 1, 1, 5_000, SMALL_LIMIT)]
    small, large = ([peak_memory(size) for _ in range(rounds)] for size in (50_000_000, 500_000_000))
    return [
        Row(
            what="publish one file of 500 MB: peak memory",
            unit="MiB",
            values=large,
            against="one of 50 MB",
            baseline=small,
            at_most=1.1,
        ),
        compare("2.7 MB in 1 file", plain, SMALL_ROUNDS * rounds, 1, 2_666_018, SMALL_LIMIT),
        compare("500 MB in 4 files", many, rounds, 4, 125_000_000, LARGE_LIMIT),
    ]
