"""Kills `data add` at every boundary that it has, while an independent reader watches.

    python -m tests.sweeps.batch_sweep        # prints numerators and denominators

The boundaries are those of `publish_sweep`. The reader shares no code with the batches: it takes each
manifest that is there, and compares every byte of what it names.
"""

import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from components.batches import listing, store
from components.batches.labelled import Labelled
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket
from tests.fakes.gcs_server import FaultProxy, GcsServer
from tests.forks import forking
from tests.sweeps import publish_sweep
from tests.sweeps.publish_sweep import FILE_EVENTS, Raw, Tally, killing

PRELOADED = (*publish_sweep.PRELOADED, "tests.sweeps.batch_sweep")
ROWS = 400  # 313 kB: beyond what a bucket sends as one small object
NAME = "new"


class Reader(publish_sweep.Reader):
    """Reads every batch that has a manifest, as fast as it can, until stopped."""

    def __init__(self, raw: Raw, tally: Tally) -> None:
        super().__init__(raw, {}, tally)

    def read(self) -> None:
        """Notes each batch that is not all there."""
        for name in [name for name in self._names() if name.startswith("batches/")]:
            data = self._fetch(name)
            assert data is not None
            manifest = json.loads(data)
            self._tally.reads += 1
            self._tally.seen.add(manifest["name"])
            for part in ("images", "labels"):
                expected = manifest[part]["sha256"]
                content = self._fetch(f"objects/{expected}")
                if content is None or hashlib.sha256(content).hexdigest() != expected:
                    self._tally.torn.append(f"{name}: {part}")


def rows(seed: int) -> Labelled:
    """Rows that no other seed has."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (ROWS, 28, 28), np.uint8)
    return Labelled(images, random.integers(0, 10, ROWS).astype(np.uint8))


def writer(uri: str, emulator: str, kill_at: int) -> None:
    """Adds a batch in this process, which SIGKILLs itself at the file operation `kill_at`, if not 0."""
    os.environ["STORAGE_EMULATOR_HOST"] = emulator
    count = 0

    def hook(event: str, _: tuple[object, ...]) -> None:
        nonlocal count
        if event in FILE_EVENTS:
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    bucket, new = open_bucket(uri, deadline=30), rows(2)
    store.describe(NAME, new)  # imports what it needs before the count starts
    sys.addaudithook(hook)
    store.add(bucket, NAME, new)
    if kill_at:
        os._exit(100)  # there was no such operation: the sweep is over


@forking(*PRELOADED)
def sweep_local(root: Path, tally: Tally, step: int = 1) -> None:
    """Kills at every `step`th file operation of adding a second batch to a local directory."""
    kill_at = 0
    while True:
        kill_at += step
        (root / f"bucket-{kill_at}").mkdir(parents=True)
        bucket = open_bucket(str(root / f"bucket-{kill_at}"))
        store.add(bucket, "old", rows(1))
        raw = publish_sweep._raw_local(Path(bucket.uri))
        with Reader(raw, tally):
            child = publish_sweep.process(bucket.uri, "", kill_at, target=writer)
            child.start()
            child.join(30)
        if child.exitcode == 100:
            return
        assert child.exitcode == -signal.SIGKILL, child.exitcode
        _rerun(bucket, tally, raw)


@forking(*PRELOADED)
def sweep_gcs(root: Path, server: GcsServer, proxy: FaultProxy, tally: Tally) -> None:
    """Kills on both sides of every request of adding a second batch to gs://."""
    number, forwarded = 1, False
    while True:
        name = f"batches-{number}-{str(forwarded).lower()}"
        server.make_bucket(name)
        bucket = open_bucket(f"gs://{name}/digits", deadline=30)
        store.add(bucket, "old", rows(1))
        raw = publish_sweep._raw_gcs(server, name, "digits/")
        with Reader(raw, tally):
            child = publish_sweep.process(bucket.uri, proxy.url, 0, target=writer)
            requests = len(proxy.requests)
            with killing(proxy, child, number, forwarded):
                child.start()
                child.join(60)
            requests = len(proxy.requests) - requests
        if child.exitcode == 0:
            assert requests < number, f"request {number} of {requests} came and was not its writer's last"
            return
        assert child.exitcode == -signal.SIGKILL, child.exitcode
        _rerun(bucket, tally, raw)
        number, forwarded = (number + 1, False) if forwarded else (number, True)


def _rerun(bucket: Bucket, tally: Tally, raw: Raw) -> None:
    """Adds it again, as a person does who saw it die, and takes stock."""
    tally.kills += 1
    store.add(bucket, NAME, rows(2))
    bucket.remove_unfinished(0)
    with tempfile.TemporaryDirectory() as scratch:
        found = store.download_all(bucket, listing.entries(bucket), Path(scratch))
        tally.converged += [each.name for each in found] == [NAME, "old"] and np.array_equal(
            found[0].rows.images, rows(2).images
        )
    expected = {f"batches/{name}.json" for name in (NAME, "old")}
    for name in (NAME, "old"):
        manifest = store.read_manifest(bucket, name)
        expected |= {f"objects/{part.sha256}" for part in (manifest.images, manifest.labels)}
    tally.orphans += len({name for name in raw[0]() if name != ".bucket/lock"} ^ expected)


def main() -> None:
    """Runs every sweep and prints what it saw."""
    failed = False
    with tempfile.TemporaryDirectory() as scratch, GcsServer() as server, FaultProxy(server.address) as proxy:
        os.environ["STORAGE_EMULATOR_HOST"] = server.url
        sweeps: dict[str, Callable[[Path, Tally], None]] = {
            "gs": lambda root, tally: sweep_gcs(root, server, proxy, tally),
            "local": sweep_local,
        }
        for name, sweep in sweeps.items():
            tally, started = Tally(), time.monotonic()
            sweep(Path(scratch) / name, tally)
            print(
                f"a batch, {name}: {tally.kills} kills, {tally}, {time.monotonic() - started:.0f} s",
                flush=True,
            )
            failed |= bool(tally.torn or tally.orphans or tally.converged != tally.kills)
    sys.exit(failed)


if __name__ == "__main__":
    main()
