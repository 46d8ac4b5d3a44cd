"""Answers every storage request of every verb with 200 and something that is not the store's answer.

    python -m tests.sweeps.answers_sweep        # prints numerators and denominators

A login page, a captive portal or a broken proxy does that. Each request of each verb is hit in turn: in the
store's place, so that nothing happened, and after the store has acted, so that only its answer is lost. Every
time the verb must end in one line, not in a traceback and not in a success that was none, and leave a whole
champion behind.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from components.batches import store
from components.batches.labelled import Labelled
from components.errors import PipelineError
from components.lookup import core as lookup_core
from components.lookup.settings import Settings as LookupSettings
from components.registry import collecting, signing
from components.registry.publishing import publish
from components.registry.reading import read_pointer, verify_version
from components.storage.bucket import Bucket
from components.storage.opening import check_writable, open_bucket
from components.train.checkpoints import Checkpoint, Checkpoints
from components.train.settings import Settings as TrainSettings
from pipeline.commands.data import data_app
from pipeline.commands.models import models_app
from tests.fakes.gcs_server import Fault, FaultProxy, GcsServer
from tests.sweeps.publish_sweep import model

JSON = "application/json; charset=UTF-8"
GARBAGE = {
    "a login page": (b"<!doctype html><title>Sign in</title>", "text/html"),
    "HTML that says JSON": (b"<!doctype html><title>Sign in</title>", JSON),
    "nothing": (b"", JSON),
    "null": (b"null", JSON),
    "a list": (b"[]", JSON),
    "an empty object": (b"{}", JSON),
    "half of one": (b'{"kind": "storage#object", "name": "champ', JSON),
    "bytes": (bytes(range(256)), "application/octet-stream"),
    "fields of other kinds": (
        b'{"items": 5, "name": 1, "size": "x", "generation": -1, "updated": "never", "crc32c": {},'
        b' "done": "yes", "resource": [], "nextPageToken": 7}',
        JSON,
    ),
}
# To a deletion the store answers 204 and emulators of it with these: then it is believed.
NOTHING = ("nothing", "null", "an empty object")
FINGERPRINT = "f" * 64


@dataclass
class Tally:
    """What a sweep saw."""

    answers: int = 0
    good: int = 0
    harmless: int = 0
    bad: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One line of numerators and denominators."""
        return (
            f"ended in one line {self.good}/{self.answers - self.harmless}, deletions that were believed "
            f"{self.harmless}, tracebacks and false successes {len(self.bad)}"
        )


@dataclass(frozen=True)
class Scene:
    """A bucket with a former and a current champion, and what verbs need beside it."""

    bucket: Bucket
    third: Path
    keys: tuple[str, str]
    scratch: Path


def command(app: object, *arguments: str) -> Callable[[Scene], None]:
    """Returns the verb that types a command."""

    def run(scene: Scene) -> None:
        known = {"copy": str(scene.scratch / "copy"), "key": scene.keys[0], "pub": scene.keys[1]}
        typed = [text.format(uri=scene.bucket.uri, **known) for text in arguments]
        result = CliRunner().invoke(app, typed)  # type: ignore[arg-type]
        if result.exception:
            raise result.exception

    return run


def publish_third(scene: Scene) -> None:
    """Publishes a third model over the current champion, as export does."""
    publish(open_bucket(scene.bucket.uri), scene.third, {}, read_pointer(scene.bucket)[1])


def publish_first_again(scene: Scene) -> None:
    """Publishes the former champion's model again."""
    first = scene.scratch.parent / "models" / "1"
    publish(open_bucket(scene.bucket.uri), first, {}, read_pointer(scene.bucket)[1])


def collect(scene: Scene) -> None:
    """Deletes what is old two days from now, as `models gc` does then."""
    opened = open_bucket(scene.bucket.uri)
    collecting.collect(opened, collecting.plan(opened, 0, now=time.time() + 2 * collecting.DAY_SECONDS))


def look_up(scene: Scene) -> None:
    """Looks for a model of the same data and settings, as `skip_unchanged` does."""
    lookup_core.lookup(
        LookupSettings(skip_unchanged=True),
        TrainSettings(),
        news={"fingerprint": FINGERPRINT, "train_rows": 1.0, "batches": {}},
        bucket_uri=scene.bucket.uri,
        settings_path=str(scene.scratch / "settings.json"),
        run_id="answers",
    )


def keep_a_checkpoint(scene: Scene) -> None:
    """Saves a checkpoint, loads it and drops it."""
    checkpoints = Checkpoints(f"{scene.bucket.uri}/checkpoints", FINGERPRINT)
    checkpoints.save(Checkpoint({"epoch": 1, "step": 0}, [np.zeros(3)]))
    checkpoints.load()
    checkpoints.discard()


def keep_a_batch(scene: Scene) -> None:
    """Adds a batch, lists it and takes it away."""
    rows = Labelled(np.zeros((10, 28, 28), np.uint8), np.arange(10, dtype=np.uint8))
    store.add(open_bucket(scene.bucket.uri), "batch", rows)
    command(data_app, "list", "--from", "{uri}")(scene)
    command(data_app, "remove", "batch", "--from", "{uri}")(scene)


VERBS: dict[str, Callable[[Scene], None]] = {
    "models list": command(models_app, "list", "--bucket", "{uri}"),
    "models show": command(models_app, "show", "--bucket", "{uri}"),
    "models verify": command(models_app, "verify", "--bucket", "{uri}"),
    "models download": command(models_app, "download", "{copy}", "--bucket", "{uri}"),
    "models rollback": command(models_app, "rollback", "--bucket", "{uri}"),
    "models sign": command(models_app, "sign", "champion", "--signing-key", "{key}", "--bucket", "{uri}"),
    "models require-signatures": command(
        models_app, "require-signatures", "--verify-key", "{pub}", "--bucket", "{uri}"
    ),
    "models gc": collect,
    "data add, list, remove": keep_a_batch,
    "publish": publish_third,
    "publish a former champion": publish_first_again,
    "lookup": look_up,
    "checkpoints": keep_a_checkpoint,
    "is it writable": lambda scene: check_writable(scene.bucket.uri),
}
READS = ("models list", "models show", "models verify", "models download", "lookup", "is it writable")


class Stage:
    """Makes scenes, each in a bucket of its own."""

    def __init__(self, root: Path, server: GcsServer, proxy: FaultProxy, keys: tuple[str, str]) -> None:
        self.proxy = proxy
        self._root, self._server, self._keys = root, server, keys
        self._models = [model(root / "models" / str(seed), seed) for seed in (1, 2, 3)]
        self._number = 0

    def scene(self) -> Scene:
        """Returns a new one; what it took is not in the proxy's log."""
        self._number += 1
        name = f"answers-{self._number}"
        self._server.make_bucket(name)
        bucket = open_bucket(f"gs://{name}/models", deadline=20)
        generation = 0
        for model_dir in self._models[:2]:
            generation = publish(bucket, model_dir, {}, generation).generation
        return self.again(Scene(bucket, self._models[2], self._keys, self._root))

    def again(self, scene: Scene) -> Scene:
        """Returns the scene with an empty folder, for a verb that changes nothing in the bucket."""
        self.proxy.requests.clear()
        return replace(scene, scratch=Path(tempfile.mkdtemp(dir=self._root)))


def sweep(stage: Stage, verb: str, tally: Tally, kinds: Callable[[int], Iterator[tuple[str, str]]]) -> None:
    """Hits each request of a verb with each of `kinds(its index)`: a way, answer or acted, and a garbage."""
    scene = stage.scene()
    VERBS[verb](scene)
    for index in range(len(stage.proxy.requests)):
        for way, name in kinds(index):
            scene = stage.again(scene) if verb in READS else stage.scene()
            body, content_type = GARBAGE[name]
            stage.proxy.faults[:] = [Fault(way, skip=index, body=body, content_type=content_type)]
            outcome = _outcome(VERBS[verb], scene)
            line = (
                stage.proxy.requests[index] if index < len(stage.proxy.requests) else "a request never made"
            )
            stage.proxy.faults.clear()
            tally.answers += 1
            if outcome == "believed" and line.startswith("DELETE") and name in NOTHING:
                tally.harmless += 1
            elif outcome == "one line" and _is_whole(scene.bucket):
                tally.good += 1
            else:
                tally.bad.append(f"{verb}: {way} {name} for {line.split('?')[0]}: {outcome}")


def every_kind(index: int) -> Iterator[tuple[str, str]]:
    """Each garbage in each way."""
    for way in ("answer", "acted"):
        for name in GARBAGE:
            yield way, name


def one_kind(index: int) -> Iterator[tuple[str, str]]:
    """Another garbage for each request."""
    yield "answer", list(GARBAGE)[index % len(GARBAGE)]


def _outcome(verb: Callable[[Scene], None], scene: Scene) -> str:
    """Returns how a verb ended."""
    try:
        verb(scene)
    except PipelineError as error:
        return "one line" if "\n" not in str(error) else f"lines: {error}"
    except Exception as error:  # what a traceback would show: this is the finding
        return f"{type(error).__name__}: {error}"
    return "believed"


def _is_whole(bucket: Bucket) -> bool:
    """Whether there is a champion whose files are all there."""
    pointer, _ = read_pointer(bucket, signed=False)
    return pointer is not None and bool(verify_version(bucket, pointer.current.version, signed=False))


def new_keys(directory: Path) -> tuple[str, str]:
    """Makes a signing key; returns the paths of its private and its public half."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    private, public = directory / "key.pem", directory / "key.pub"
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    signing.read_public_key(public, "key.pub")
    return str(private), str(public)


def main() -> None:
    """Runs every verb and prints what it saw."""
    failed = False
    with tempfile.TemporaryDirectory() as scratch, GcsServer() as server, FaultProxy(server.address) as proxy:
        os.environ["STORAGE_EMULATOR_HOST"] = proxy.url
        stage = Stage(Path(scratch), server, proxy, new_keys(Path(scratch)))
        for verb in VERBS:
            tally, started = Tally(), time.monotonic()
            with Path(os.devnull).open("w", encoding="utf-8") as quiet:  # nobody looks at what a verb prints
                shown, sys.stdout = sys.stdout, quiet
                try:
                    sweep(stage, verb, tally, every_kind)
                finally:
                    sys.stdout = shown
            print(
                f"{verb}: {tally}, {time.monotonic() - started:.0f} s",
                *tally.bad[:20],
                sep="\n  ",
                flush=True,
            )
            failed |= bool(tally.bad)
    sys.exit(failed)


if __name__ == "__main__":
    main()
