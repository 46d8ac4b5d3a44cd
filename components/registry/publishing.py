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

from components.errors import DataError, GateError, RetryableError, StorageError
from components.model.contract import GRAPH_FILE
from components.registry import reading, signing
from components.registry.files import ModelFile, describe, tree_hash
from components.registry.manifest import MAX_SERVING, Manifest, Move, Pointer, now
from components.registry.reading import (
    POINTER,
    SERVING,
    manifest_name,
    model_prefix,
    on_every_file,
    read_manifest,
)
from components.storage.bucket import Bucket, ConflictError, StoredObject

# `gc` leaves anything younger than a day alone. What a publisher finds already there and older than this it
# writes anew, so that the deletion a slow `gc` may still have in hand misses it.
FRESH_SECONDS = 12 * 3600
STAGINGS = 5  # attempts to write a manifest that comes and goes meanwhile


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
      signing_key: PEM file with the private key that signs manifest and pointer; None for no signature.

    Raises:
      UsageError: the bucket needs signatures and there is no signing key.
      GateError: the bucket needs signatures, and the pointer's or this version's does not verify.
      ChampionMovedError: the pointer moved since, and not to this model; nothing was promoted.
      DataError: not a SavedModel, or the bucket holds other bytes under this model's name.
      StorageError: the bucket is missing, refuses or does not answer.
    """
    files = describe(model_dir) if files is None else files
    version = tree_hash(files)
    required = signing.required_key(bucket)
    signing.check_can_sign(bucket, required, signing_key)
    pointer, generation = reading.read_pointer_signed_with(bucket, required)
    _check_unmoved(pointer, generation, version, expected_pointer_generation)
    number = _next_number(bucket, pointer)
    was_champion = pointer is not None and any(move.version == version for move in pointer.history)
    existing = _existing(bucket, version) if was_champion else None  # then its files need not be sent
    manifest, created = (existing, False) if existing else _stage(bucket, Path(model_dir), files, provenance)
    if signing_key:
        signing.sign(bucket, version, manifest.encode(), signing_key)
    signing.check(bucket, version, manifest.encode(), required)
    pointer, generation, promoted = _promote(bucket, pointer, generation, number, manifest, signing_key)
    serve(bucket, pointer, manifest)
    return _outcome(bucket, pointer, generation, manifest, created=created, promoted=promoted)


def promote_version(bucket: Bucket, manifest: Manifest, *, signing_key: str | None = None) -> Published:
    """Makes an already published and verified version the champion, whatever the champion is now.

    Raises:
      ChampionMovedError: somebody else moved the pointer at this moment.
      DataError: the version disappeared meanwhile.
      UsageError: the bucket needs signatures and there is no signing key.
    """
    required = signing.required_key(bucket)
    signing.check_can_sign(bucket, required, signing_key)
    if not _refresh_manifest(bucket, manifest.version):
        raise DataError(f"{bucket.uri}: no version {manifest.version}")
    pointer, generation = reading.read_pointer_signed_with(bucket, required)
    number = _next_number(bucket, pointer)
    pointer, generation, promoted = _promote(bucket, pointer, generation, number, manifest, signing_key)
    serve(bucket, pointer, manifest)
    return _outcome(bucket, pointer, generation, manifest, created=False, promoted=promoted)


def sign_champion(bucket: Bucket, version: str, signing_key: str | Path) -> bool:
    """Signs the pointer, if it names `version`; returns whether it does.

    Raises:
      ConflictError: somebody else moved it at this moment.
      DataError: the pointer is damaged.
      UsageError: not a signing key.
    """
    pointer, generation = reading.read_pointer(bucket, signed=False)
    if pointer is None or pointer.current.version != version:
        return False
    signed = signing.sign_pointer(pointer, signing_key)
    if signed != pointer:
        bucket.write(POINTER, signed.encode(), generation=generation)
    return True


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
        if _is_fresh(stored):
            return
        try:  # left by a publisher that was killed long ago
            bucket.upload(name, model_dir / file.path, file.digest, generation=stored.generation)
        except ConflictError:  # `gc` took it away in between, or another publisher renewed it
            bucket.upload(name, model_dir / file.path, file.digest)

    _graph_last(files, upload)
    manifest = Manifest(version, now(), files, provenance)
    for _ in range(STAGINGS):
        try:
            bucket.write(manifest_name(version), manifest.encode(), generation=0)
            return manifest, True
        except ConflictError:  # somebody published the same model, now or before
            existing = _existing(bucket, version)
            if existing:  # else `gc` took it away in between
                return existing, False
    raise RetryableError(f"{bucket.uri}: version {version} is published and deleted all the time")


def _existing(bucket: Bucket, version: str) -> Manifest | None:
    """Returns the manifest of a version that is already there, if its files are; None if there is none.

    Raises:
      DataError: a manifest, but not the files that it lists.
    """
    if not _refresh_manifest(bucket, version):
        return None
    manifest = read_manifest(bucket, version, signed=False)

    def check(file: ModelFile) -> None:
        name = f"{model_prefix(version)}{file.path}"
        stored = bucket.stat(name)
        if stored is None or not stored.holds(file.digest):
            state = "missing" if stored is None else "altered"
            raise DataError(f"{bucket.uri}/{name}: {state}; the version was damaged after it was published")

    on_every_file(manifest.files, check)
    return manifest


def _refresh_manifest(bucket: Bucket, version: str) -> bool:
    """Makes an old version young, so that `gc`, which deletes a manifest first, leaves it alone.

    Returns:
      Whether there is a manifest; False too if `gc` was quicker.
    """
    name = manifest_name(version)
    stored, content = bucket.stat(name), bucket.read(name)
    if stored is None or content is None:
        return False
    if not _is_fresh(stored):
        try:
            bucket.write(name, content.data, generation=content.generation)
        except ConflictError:
            return bucket.stat(name) is not None
    return True


def _promote(
    bucket: Bucket,
    pointer: Pointer | None,
    generation: int,
    number: int,
    manifest: Manifest,
    signing_key: str | None,
) -> tuple[Pointer, int, bool]:
    """Moves the pointer from `generation` to the manifest's version, unless it names that already."""
    if pointer and pointer.current.version == manifest.version:
        return pointer, generation, False
    moved = _moved(pointer, number, manifest)
    if signing_key:
        moved = signing.sign_pointer(moved, signing_key)
    try:
        return moved, bucket.write(POINTER, moved.encode(), generation=generation).generation, True
    except ConflictError:
        pointer, now_at = reading.read_pointer(bucket)
        _check_unmoved(pointer, now_at, manifest.version, generation)
        if pointer is None:
            raise StorageError(f"{bucket.uri}/{POINTER}: refused at the generation that it has") from None
        return pointer, now_at, False


def _moved(pointer: Pointer | None, number: int, manifest: Manifest) -> Pointer:
    sha256 = hashlib.sha256(manifest.encode()).hexdigest()
    if pointer:
        return pointer.moved_to(manifest.version, sha256)
    return Pointer(Move(manifest.version, number, now()), sha256, first_serving=number)


def _next_number(bucket: Bucket, pointer: Pointer | None) -> int:
    """Returns the TensorFlow Serving number of the next champion, before anything is written.

    Raises:
      DataError: none is left above a folder that is there.
    """
    if pointer:
        highest = pointer.current.serving
    else:
        numbers = [reading.serving_number(stored.name) for stored in bucket.list(SERVING)]
        highest = max((number for number in numbers if number is not None), default=0)
    if highest + 1 >= MAX_SERVING:
        raise DataError(
            f"{bucket.uri}/{SERVING}{highest}: TensorFlow Serving takes the highest number, and none is left "
            "above this one; remove it"
        )
    return highest + 1


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
