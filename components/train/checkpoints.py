"""Checkpoints of a training run, from which a rerun goes on bit for bit.

    <checkpoint_uri>/<run>/<epoch>-<step>-<SHA-256 of the content>.ckpt

One object per checkpoint, complete or absent, that names its own content. The two newest are kept: where the
newest is damaged, the one before it serves. `<run>` is a fingerprint of everything that decides the weights
(data, code, parameters, versions), so a changed run starts anew beside the old one. Keras's own
`BackupAndRestore` loses or silently corrupts runs that are killed while it saves.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import DataError
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket

KEEP = 2
# Saving may take this share of the training time; a slow place is saved to less often.
OVERHEAD = 0.01

Arrays = Sequence[NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on.

    Attributes:
      facts: JSON values: how far the run is, and its history.
      arrays: weights, optimiser and seed generators, in the order that the trainer gives them.
    """

    facts: dict[str, Any]
    arrays: Arrays


def run_fingerprint(facts: dict[str, Any], sources: Sequence[Path]) -> str:
    """SHA-256, hex, over `facts` and the content of `sources`: the name of a run."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Checkpoints:
    """The checkpoints of one run.

    Args:
      checkpoint_uri: gs://bucket/prefix or a directory.
      run: the run's fingerprint.

    Raises:
      UsageError: a URI of another form.
      StorageError: the place cannot be written.
    """

    def __init__(self, checkpoint_uri: str, run: str) -> None:
        self._bucket: Bucket = open_bucket(checkpoint_uri)
        self._bucket.check_writable()
        self._run = run
        self._prefix = f"{run}/"
        self._saved_at = time.monotonic()
        self._save_seconds = 0.0

    def save_if_due(self, capture: Callable[[], Checkpoint]) -> None:
        """Saves what `capture` returns, unless the last save is too recent for what it cost."""
        started = time.monotonic()
        if started - self._saved_at >= self._save_seconds / OVERHEAD:
            self.save(capture())
            self._saved_at = time.monotonic()
            self._save_seconds = self._saved_at - started

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint and drops all but the newest two.

        Raises:
          StorageError: the place is full, refuses or does not answer.
        """
        content = _encode(self._run, checkpoint)
        epoch, step = checkpoint.facts["epoch"], checkpoint.facts["step"]
        name = f"{self._prefix}{epoch:06d}-{step:09d}-{hashlib.sha256(content).hexdigest()}.ckpt"
        self._bucket.write(name, content, generation=0)
        self._drop(keep=KEEP)

    def load(self) -> Checkpoint | None:
        """Returns the newest intact checkpoint of this run, None if there is none; drops damaged ones.

        Raises:
          DataError: a checkpoint of another run stands in this run's place.
        """
        for stored in sorted(self._bucket.list(self._prefix), key=lambda each: each.name, reverse=True):
            content = self._read(stored.name)
            if content is not None:
                return _decode(self._run, f"{self._bucket.uri}/{stored.name}", content)
            print(f"checkpoint {stored.name.removeprefix(self._prefix)} is damaged: not used", flush=True)
            self._bucket.delete(stored.name, generation=stored.generation)
        return None

    def discard(self) -> None:
        """Deletes all checkpoints of this run: it is finished."""
        self._drop(keep=0)

    def _read(self, name: str) -> bytes | None:
        """Returns the content that `name` promises, None if it is not there."""
        content = bytearray()
        try:
            self._bucket.download(name, _Appender(content))
        except DataError:
            return None
        intact = hashlib.sha256(content).hexdigest() == name.rpartition("-")[2].removesuffix(".ckpt")
        return bytes(content) if intact else None

    def _drop(self, keep: int) -> None:
        stored = sorted(self._bucket.list(self._prefix), key=lambda each: each.name, reverse=True)
        for old in stored[keep:]:
            self._bucket.delete(old.name, generation=old.generation)


class _Appender:
    """Takes a download into memory."""

    def __init__(self, content: bytearray) -> None:
        self.write = content.extend


def _encode(run: str, checkpoint: Checkpoint) -> bytes:
    """One line of JSON, then the arrays' bytes."""
    layout = [[array.dtype.str, list(array.shape)] for array in checkpoint.arrays]
    header = json.dumps({"run": run, "facts": checkpoint.facts, "arrays": layout})
    return b"\n".join([header.encode(), b"".join(array.tobytes() for array in checkpoint.arrays)])


def _decode(run: str, where: str, content: bytes) -> Checkpoint:
    head, _, body = content.partition(b"\n")
    header = json.loads(head)
    if header["run"] != run:
        raise DataError(f"{where}: is of run {header['run'][:12]}, not of this one, {run[:12]}; remove it")
    arrays, position = [], 0
    for kind, shape in header["arrays"]:
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(body, kind, count, position).reshape(shape))
        position += arrays[-1].nbytes
    return Checkpoint(header["facts"], arrays)
