"""Publishing: a version is staged whole, then one pointer is moved by compare-and-swap.

The order is what makes it safe, whatever dies when: variables, saved_model.pb, manifest, pointer, and only
then the copy for TensorFlow Serving, whose number only the publisher that moved the pointer owns. Every step
is idempotent, so a rerun goes on where a killed one stopped.
"""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import DataError, GateError, StorageError, UsageError
from components.model.contract import GRAPH_FILE
from components.registry import signing
from components.registry.files import ModelFile, describe, tree_hash
from components.registry.manifest import Manifest, Move, Pointer, now
from components.registry.reading import (
    POINTER,
    SERVING,
    manifest_name,
    model_prefix,
    on_every_file,
    read_manifest,
    read_pointer,
)
from components.storage.bucket import Bucket, ConflictError, StoredObject

# `gc` leaves anything younger than a day alone. What a publisher finds already there and older than this it
# writes anew, so that the deletion a slow `gc` may still have in hand misses it.
FRESH_SECONDS = 12 * 3600


class ChampionMovedError(GateError):
    """The pointer is no longer where it was when the challenger was evaluated: evaluate again.

    Attributes:
      pointer: what it names now, None if there is none any more.
      generation: its generation now.
    """

    def __init__(self, message: str, pointer: Pointer | None, generation: int) -> None:
        super().__init__(message)
        self.pointer = pointer
        self.generation = generation


@dataclass(frozen=True)
class Published:
    """The outcome of publishing.

    Attributes:
      version: the model's tree hash.
      created: whether this call wrote the version's manifest; False for a model that was already there.
      promoted: whether this call moved the pointer; False if it named this version already.
      generation: of the pointer.
      model_uri: the SavedModel.
      serving_uri: the champion's copy for TensorFlow Serving, under the integer `serving`.
    """

    version: str
    created: bool
    promoted: bool
    generation: int
    serving: int
    manifest: Manifest
    model_uri: str
    serving_uri: str


def publish(
    bucket: Bucket,
    model_dir: str | os.PathLike[str],
    provenance: dict[str, Any],
    expected_pointer_generation: int,
    *,
    files: tuple[ModelFile, ...] | None = None,
    signing_key: str | None = None,
) -> Published:
    """Publishes the SavedModel in `model_dir` and makes it the champion.

    Args:
      bucket: where to.
      model_dir: a SavedModel.
      provenance: JSON values that the manifest keeps.
      expected_pointer_generation: the pointer's when the challenger was evaluated; 0 if there was no pointer.
      files: what `describe(model_dir)` returned, if the caller has it.
      signing_key: PEM file with the private key that signs the manifest; None for no signature.

    Raises:
      UsageError: the bucket needs signatures and there is no signing key.
      GateError: the bucket needs signatures, and this version's does not verify with its key.
      ChampionMovedError: the pointer moved since, and not to this model; nothing was promoted.
      DataError: not a SavedModel, or the bucket holds other bytes under this model's name.
      StorageError: the bucket is missing, refuses or does not answer.
    """
    files = describe(model_dir) if files is None else files
    version = tree_hash(files)
    pointer, generation = read_pointer(bucket)
    _check_unmoved(pointer, generation, version, expected_pointer_generation)
    is_required = signing.required_key(bucket) is not None
    if is_required and not signing_key:
        raise UsageError(f"{bucket.uri}: needs signed models; set {signing.SIGNING_KEY_VARIABLE}")
    if pointer and any(move.version == version for move in pointer.history):  # its files need not be sent
        manifest, created = _existing(bucket, version), False
    else:
        manifest, created = _stage(bucket, Path(model_dir), files, provenance)
    if signing_key:
        signing.sign(bucket, version, manifest.encode(), signing_key)
    if is_required:
        signing.check(bucket, version, manifest.encode())
    pointer, generation, promoted = _promote(bucket, pointer, generation, manifest)
    serve(bucket, pointer, manifest)
    return _outcome(bucket, pointer, generation, manifest, created=created, promoted=promoted)


def promote_version(bucket: Bucket, manifest: Manifest) -> Published:
    """Makes an already published and verified version the champion, whatever the champion is now.

    Raises:
      ChampionMovedError: somebody else moved the pointer at this moment.
      DataError: the version disappeared meanwhile.
    """
    _refresh_manifest(bucket, manifest.version)
    pointer, generation = read_pointer(bucket)
    pointer, generation, promoted = _promote(bucket, pointer, generation, manifest)
    serve(bucket, pointer, manifest)
    return _outcome(bucket, pointer, generation, manifest, created=False, promoted=promoted)


def serve(bucket: Bucket, pointer: Pointer, manifest: Manifest) -> None:
    """Completes the champion's copy for TensorFlow Serving, saved_model.pb last."""

    def copy(file: ModelFile) -> None:
        source = f"{model_prefix(manifest.version)}{file.path}"
        bucket.copy(source, f"{prefix}{file.path}", file.digest)

    prefix = f"{SERVING}{pointer.current.serving}/"
    _graph_last(manifest.files, copy)


def _check_unmoved(pointer: Pointer | None, generation: int, version: str, expected: int) -> None:
    if generation == expected or (pointer and pointer.current.version == version):
        return
    named = f"version {pointer.current.version[:12]}" if pointer else "nothing"
    raise ChampionMovedError(
        f"{POINTER} is at generation {generation} and names {named}; the evaluation was against generation "
        f"{expected}: evaluate against the new champion",
        pointer,
        generation,
    )


def _stage(
    bucket: Bucket, model_dir: Path, files: tuple[ModelFile, ...], provenance: dict[str, Any]
) -> tuple[Manifest, bool]:
    """Uploads a version's files, then its manifest; returns the manifest and whether it is new."""
    version = tree_hash(files)

    def upload(file: ModelFile) -> None:
        name = f"{model_prefix(version)}{file.path}"
        stored = bucket.upload(name, model_dir / file.path, file.digest)
        if not _is_fresh(stored):  # left by a publisher that was killed long ago
            bucket.upload(name, model_dir / file.path, file.digest, generation=stored.generation)

    _graph_last(files, upload)
    manifest = Manifest(version, now(), files, provenance)
    try:
        bucket.write(manifest_name(version), manifest.encode(), generation=0)
    except ConflictError:  # somebody published the same model, now or before
        return _existing(bucket, version), False
    return manifest, True


def _existing(bucket: Bucket, version: str) -> Manifest:
    """Returns the manifest of a version that is already there, if its files are."""
    _refresh_manifest(bucket, version)
    manifest = read_manifest(bucket, version, signed=False)

    def check(file: ModelFile) -> None:
        name = f"{model_prefix(version)}{file.path}"
        stored = bucket.stat(name)
        if stored is None or not stored.holds(file.digest):
            state = "missing" if stored is None else "altered"
            raise DataError(f"{bucket.uri}/{name}: {state}; the version was damaged after it was published")

    on_every_file(manifest.files, check)
    return manifest


def _refresh_manifest(bucket: Bucket, version: str) -> None:
    """Makes an old version young, so that `gc`, which deletes a manifest first, leaves it alone."""
    name = manifest_name(version)
    stored, content = bucket.stat(name), bucket.read(name)
    if stored is None or content is None:
        raise DataError(f"{bucket.uri}: no version {version}")
    if not _is_fresh(stored):
        bucket.write(name, content.data, generation=content.generation)


def _promote(
    bucket: Bucket, pointer: Pointer | None, generation: int, manifest: Manifest
) -> tuple[Pointer, int, bool]:
    """Moves the pointer from `generation` to the manifest's version, unless it names that already."""
    if pointer and pointer.current.version == manifest.version:
        return pointer, generation, False
    moved = _moved(bucket, pointer, manifest)
    try:
        return moved, bucket.write(POINTER, moved.encode(), generation=generation).generation, True
    except ConflictError:
        pointer, now_at = read_pointer(bucket)
        _check_unmoved(pointer, now_at, manifest.version, generation)
        if pointer is None:
            raise StorageError(f"{bucket.uri}/{POINTER}: refused at the generation that it has") from None
        return pointer, now_at, False


def _moved(bucket: Bucket, pointer: Pointer | None, manifest: Manifest) -> Pointer:
    sha256 = hashlib.sha256(manifest.encode()).hexdigest()
    if pointer:
        return pointer.moved_to(manifest.version, pointer.current.serving + 1, sha256)
    numbers = [stored.name.split("/")[1] for stored in bucket.list(SERVING)]
    serving = 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)
    return Pointer(Move(manifest.version, serving, now()), sha256, first_serving=serving)


def _graph_last(files: tuple[ModelFile, ...], action: Any) -> None:
    on_every_file([file for file in files if file.path != GRAPH_FILE], action)
    on_every_file([file for file in files if file.path == GRAPH_FILE], action)


def _is_fresh(stored: StoredObject) -> bool:
    return time.time() - stored.updated < FRESH_SECONDS


def _outcome(
    bucket: Bucket, pointer: Pointer, generation: int, manifest: Manifest, *, created: bool, promoted: bool
) -> Published:
    serving = pointer.current.serving
    return Published(
        version=manifest.version,
        created=created,
        promoted=promoted,
        generation=generation,
        serving=serving,
        manifest=manifest,
        model_uri=f"{bucket.uri}/{model_prefix(manifest.version).removesuffix('/')}",
        serving_uri=f"{bucket.uri}/{SERVING}{serving}",
    )
