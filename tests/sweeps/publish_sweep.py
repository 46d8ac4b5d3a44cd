"""Kills a publisher at every boundary that it has, while an independent reader watches.

    python -m tests.sweeps.publish_sweep        # prints numerators and denominators

A boundary is, on `gs://`, each side of each request: before the server sees it, and after it acted but before
the publisher hears so; on a local directory, each file operation of the publisher's process. The reader
shares no code with the registry: it follows the pointer, or TensorFlow Serving's highest number, and compares
every byte.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError

from components.model.contract import GRAPH_FILE
from components.registry import collecting
from components.registry.files import hash_model
from components.registry.publishing import publish
from components.registry.reading import read_champion, verify_serving, verify_version
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket
from tests.fakes.gcs_server import FaultProxy, GcsServer
from tests.forks import forking

PRELOADED = ("google.cloud.storage", "google_crc32c", "components.storage.gcs", "tests.sweeps.publish_sweep")
FILE_EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.utime", "os.truncate")
Files = dict[str, str]  # path: SHA-256
Raw = tuple[Callable[[], list[str]], Callable[[str], bytes | None]]  # every name; one object's bytes


@dataclass
class Tally:
    """What a sweep saw."""

    kills: int = 0
    converged: int = 0
    orphans: int = 0
    reads: int = 0
    torn: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        """One line of numerators and denominators."""
        return (
            f"torn reads {len(self.torn)}/{self.reads}, reruns that converged {self.converged}/{self.kills}, "
            f"orphans after gc {self.orphans}, versions seen while watching {len(self.seen)}"
        )


class Reader:
    """Follows the pointer and TensorFlow Serving's rule, as fast as it can, until stopped."""

    def __init__(self, raw: Raw, models: dict[str, Files], tally: Tally) -> None:
        self._names, self._fetch = raw
        self._models = models
        self._tally = tally
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def read(self) -> None:
        """Reads the champion in both ways and notes what is not one whole known model."""
        pointer = self._fetch("champion.json")
        if pointer is not None:
            version = json.loads(pointer)["version"]
            self._compare(f"versions/{version}/model/", version)
        served = [
            int(name.split("/")[1])
            for name in self._names()
            if name.startswith("serving/") and name.endswith(f"/{GRAPH_FILE}")
        ]
        if served:
            self._compare(f"serving/{max(served)}/", None)

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.read()

    def _compare(self, prefix: str, version: str | None) -> None:
        names = [name for name in self._names() if name.startswith(prefix)]
        found = {name.removeprefix(prefix): _sha256(self._fetch(name)) for name in names}
        known = [name for name, files in self._models.items() if files == found]
        self._tally.reads += 1
        if not known or (version and known != [version]):
            self._tally.torn.append(f"{prefix}: {sorted(found)}")
        self._tally.seen.update(known)


def model(directory: Path, seed: int) -> Path:
    """Writes a directory laid out as a SavedModel; nothing here loads it."""
    for name, data in {
        "saved_model.pb": b"graph %d" % seed,
        "fingerprint.pb": b"fingerprint %d" % seed,
        "variables/variables.index": b"index %d" % seed,
        "variables/variables.data-00000-of-00001": bytes([seed]) * 50_000,
        "assets.extra/model.json": b'{"seed": %d}' % seed,
    }.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def files_of(model_dir: Path) -> Files:
    """Returns the SHA-256 of every file by its path."""
    paths = [path for path in model_dir.rglob("*") if path.is_file()]
    return {path.relative_to(model_dir).as_posix(): _sha256(path.read_bytes()) for path in paths}


def publisher(uri: str, model_dir: str, generation: int, emulator: str, kill_at: int) -> None:
    """Publishes in this process, which SIGKILLs itself at the file operation number `kill_at`, if not 0."""
    os.environ["STORAGE_EMULATOR_HOST"] = emulator
    count = 0

    def hook(event: str, _: tuple[object, ...]) -> None:
        nonlocal count
        if event in FILE_EVENTS:
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    bucket = open_bucket(uri, deadline=30)
    hash_model(model_dir)  # imports what it needs before the count starts
    sys.addaudithook(hook)
    publish(bucket, model_dir, {}, generation)
    if kill_at:
        os._exit(100)  # there was no such operation: the sweep is over


def process(
    *arguments: object, target: Callable[..., None] = publisher
) -> multiprocessing.process.BaseProcess:
    """Returns a writer that is not started yet, forked from a clean process with everything imported."""
    return multiprocessing.get_context("forkserver").Process(target=target, args=arguments)


@forking(*PRELOADED)
def sweep_local(root: Path, tally: Tally, step: int = 1) -> None:
    """Kills at every `step`th file operation of publishing a second model to a local directory."""
    old, new = model(root / "old", 1), model(root / "new", 2)
    kill_at = 0
    while True:
        kill_at += step
        bucket = open_bucket(str(root / f"bucket-{kill_at}"))
        generation = publish(bucket, old, {}, 0).generation
        with Reader(_raw_local(Path(bucket.uri)), _models(old, new), tally):
            child = process(bucket.uri, str(new), generation, "", kill_at)
            child.start()
            child.join(30)
        if child.exitcode == 100:
            return
        assert child.exitcode == -signal.SIGKILL, child.exitcode
        _rerun(bucket, new, generation, tally, _raw_local(Path(bucket.uri)))


@forking(*PRELOADED)
def sweep_gcs(root: Path, server: GcsServer, proxy: FaultProxy, tally: Tally, first: bool = False) -> None:
    """Kills on both sides of every request of publishing a second model, or the `first` one, to gs://."""
    old, new = model(root / "old", 1), model(root / "new", 2)
    number, forwarded = 1, False
    while True:
        name = f"sweep-{'first' if first else 'second'}-{number}-{str(forwarded).lower()}"
        server.make_bucket(name)
        bucket = open_bucket(f"gs://{name}/models", deadline=30)
        generation = 0 if first else publish(bucket, old, {}, 0).generation
        raw = _raw_gcs(server, name, "models/")
        with Reader(raw, _models(old, new), tally):
            child = process(bucket.uri, str(new), generation, proxy.url, 0)
            requests = len(proxy.requests)
            with killing(proxy, child, number, forwarded):
                child.start()
                child.join(60)
            requests = len(proxy.requests) - requests
        if child.exitcode == 0:
            assert requests < number, f"request {number} of {requests} came and was not its publisher's last"
            return
        assert child.exitcode == -signal.SIGKILL, child.exitcode
        _rerun(bucket, new, generation, tally, raw)
        number, forwarded = (number + 1, False) if forwarded else (number, True)


@contextmanager
def killing(
    proxy: FaultProxy, child: multiprocessing.process.BaseProcess, number: int, forwarded: bool
) -> Iterator[None]:
    """SIGKILLs `child` at one side of its request `number`; its request or its answer is lost."""
    start = len(proxy.requests)

    def hook(request: int, was_forwarded: bool) -> bool:
        if (request - start, was_forwarded) != (number, forwarded):
            return True
        while child.pid is None:
            time.sleep(0.001)
        os.kill(child.pid, signal.SIGKILL)
        return False

    proxy.at_boundary = hook
    try:
        yield
    finally:
        proxy.at_boundary = lambda request, was_forwarded: True


def _rerun(bucket: Bucket, new: Path, generation: int, tally: Tally, raw: Raw) -> None:
    """Publishes again, as a retried task does, then collects garbage two days later, and takes stock."""
    tally.kills += 1
    outcome = publish(bucket, new, {}, generation)
    champion = read_champion(bucket)
    assert champion is not None
    verify_version(bucket, champion.version)
    verify_serving(bucket, champion)
    tally.converged += champion.version == outcome.version == hash_model(new)
    later = time.time() + 2 * collecting.DAY_SECONDS
    collecting.collect(bucket, collecting.plan(bucket, 0, now=later))
    bucket.remove_unfinished(0)
    files = set(files_of(new))
    expected = {"champion.json", f"versions/{champion.version}/manifest.json"}
    expected |= {f"versions/{champion.version}/model/{name}" for name in files}
    expected |= {f"serving/{outcome.serving}/{name}" for name in files}
    tally.orphans += len({name for name in raw[0]() if name != ".bucket/lock"} ^ expected)


def _models(*model_dirs: Path) -> dict[str, Files]:
    return {hash_model(model_dir): files_of(model_dir) for model_dir in model_dirs}


def _raw_local(root: Path) -> Raw:
    def names() -> list[str]:
        return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]

    def fetch(name: str) -> bytes | None:
        try:
            return (root / name).read_bytes()
        except FileNotFoundError:
            return None

    return names, fetch


def _raw_gcs(server: GcsServer, bucket: str, prefix: str) -> Raw:
    def fetch(name: str) -> bytes | None:
        try:
            return server.get(bucket, f"{prefix}{name}")
        except HTTPError as error:
            error.close()
            return None

    return lambda: [name.removeprefix(prefix) for name in server.contents(bucket)], fetch


def _sha256(data: bytes | None) -> str:
    return hashlib.sha256(data).hexdigest() if data is not None else "absent"


def main() -> None:
    """Runs every sweep and prints what it saw."""
    failed = False
    with tempfile.TemporaryDirectory() as scratch, GcsServer() as server, FaultProxy(server.address) as proxy:
        os.environ["STORAGE_EMULATOR_HOST"] = server.url
        sweeps: dict[str, Callable[[Path, Tally], None]] = {
            "gs://, first model": lambda root, tally: sweep_gcs(root, server, proxy, tally, first=True),
            "gs://, next model": lambda root, tally: sweep_gcs(root, server, proxy, tally),
            "local, next model": sweep_local,
        }
        for name, sweep in sweeps.items():
            root, tally = Path(scratch) / name.replace("/", "").replace(" ", ""), Tally()
            started = time.monotonic()
            sweep(root, tally)
            print(f"{name}: {tally.kills} kills, {tally}, {time.monotonic() - started:.0f} s", flush=True)
            failed |= bool(tally.torn or tally.orphans or tally.converged != tally.kills)
    sys.exit(failed)


if __name__ == "__main__":
    main()
