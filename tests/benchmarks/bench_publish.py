"""What publishing costs, against a plain upload of the same files to the same server on loopback.

    python -m tests.benchmarks.bench_publish

Small: a 2.7 MB SavedModel, against one `upload_from_filename` after the other. Large: 500 MB in four files,
against `transfer_manager.upload_many` with threads. Publishing is all of it: hashing, uploading, manifest,
pointer and the copy for TensorFlow Serving, which Google makes inside the store and the fake by copying
bytes. Each round has a server of its own, and rounds alternate who goes first; the ratio is that of the
medians. Memory is the peak of a process that publishes one file of that size.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from components.bucket import open_bucket
from components.registry_publish import publish
from tests.fakes.gcs_server import GcsServer

SMALL_ROUNDS = 20
LARGE_ROUNDS = 4
PEAK = """
import sys
from pathlib import Path
from components.bucket import open_bucket
from components.registry_publish import publish
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


def compare(name: str, baseline: Callable[[Any, Path], None], rounds: int, files: int, size: int) -> None:
    """Alternates baseline and publishing, each with a model of its own, and prints both and their ratio."""
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
            list(client.list_blobs("plain")), list(ours.list(""))  # both connect first
            models = [make_model(Path(scratch) / f"{i}", files, size) for i in range(2)]
            contestants: list[Callable[[], object]] = [
                partial(baseline, client.bucket("plain"), models[0]),
                partial(publish, ours, models[1], {}, 0),
            ]
            for which in (0, 1) if number % 2 else (1, 0):
                took = seconds(contestants[which])
                if number:  # the first round imports and warms up
                    times[which].append(took)
    theirs, own = statistics.median(times[0]), statistics.median(times[1])
    total = files * size / 1e6
    print(
        f"{name}: {baseline.__name__} {theirs * 1000:.0f} ms ({total / theirs:.0f} MB/s), "
        f"publish {own * 1000:.0f} ms ({total / own:.0f} MB/s), ratio {own / theirs:.2f}",
        flush=True,
    )


def peak_memory(size: int) -> int:
    """Returns the peak memory, MiB, of a process that publishes one file of `size` bytes."""
    with GcsServer() as server, tempfile.TemporaryDirectory() as scratch:
        server.make_bucket("models")
        model_dir = make_model(Path(scratch) / "model", 1, size)
        command = [sys.executable, "-c", PEAK, "gs://models/mnist", str(model_dir)]
        environment = {**os.environ, "STORAGE_EMULATOR_HOST": server.url}
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return int(shown.stdout)


def main() -> None:
    """Prints the figures."""
    for size in (50_000_000, 500_000_000):
        print(f"peak memory, one file of {size // 1_000_000} MB: {peak_memory(size)} MiB", flush=True)
    compare("2.7 MB in 1 file", plain, SMALL_ROUNDS, 1, 2_666_018)
    compare("500 MB in 4 files", many, LARGE_ROUNDS, 4, 125_000_000)


if __name__ == "__main__":
    main()
