"""The registry of published models in a bucket: which one is the champion, and whether it is intact.

    versions/<id>/model/<file …>   a SavedModel; <id> is its tree hash
    versions/<id>/manifest.json    written after the files: size, CRC32C and SHA-256 of each, provenance
    champion.json                  the pointer; moved only by compare-and-swap on its generation
    serving/<integer>/<file …>     the champion once more, where TensorFlow Serving looks

A reader that follows the pointer sees a complete model or the one before it, whatever died when.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from components.errors import DataError, GateError, StorageError, UsageError
from components.registry import signing
from components.registry.files import ModelFile, at_once
from components.registry.manifest import Manifest, Pointer, is_version, parse_manifest, parse_pointer
from components.storage.bucket import Bucket, StoredObject
from components.storage.digests import Digest, Digester

POINTER = "champion.json"
VERSIONS = "versions/"
SERVING = "serving/"
MIN_SERVING_VARIABLE = "MODEL_MIN_SERVING"  # a reader refuses a champion with a smaller number


@dataclass(frozen=True)
class Champion:
    """The published model that the pointer names.

    Attributes:
      generation: of the pointer; what `publish` takes as `expected_pointer_generation`.
    """

    version: str
    generation: int
    manifest: Manifest
    pointer: Pointer


def manifest_name(version: str) -> str:
    """Returns the name of a version's manifest in its bucket."""
    return f"{VERSIONS}{version}/manifest.json"


def model_prefix(version: str) -> str:
    """Returns the prefix, slash included, of a version's files in its bucket."""
    return f"{VERSIONS}{version}/model/"


def read_pointer(bucket: Bucket, *, signed: bool = True) -> tuple[Pointer | None, int]:
    """Returns the pointer and its generation, or None and 0 where nothing was ever published.

    Args:
      bucket: where from.
      signed: False to take it without the signature that the bucket needs, in order to sign it.

    Raises:
      DataError: the pointer is not what a publisher writes.
      GateError: the bucket needs signatures and the pointer has none that verifies, or its number is less
        than MODEL_MIN_SERVING.
      StorageError: the bucket is missing, refuses or does not answer.
    """
    return read_pointer_signed_with(bucket, signing.required_key(bucket) if signed else None)


def read_pointer_signed_with(bucket: Bucket, public_key: str | None) -> tuple[Pointer | None, int]:
    """Returns what `read_pointer` does; the caller has looked up the key (PEM) that is needed, or None."""
    content = bucket.read(POINTER)
    where = f"{bucket.uri}/{POINTER}"
    pointer = parse_pointer(content.data, where) if content else None
    if pointer:
        signing.check_pointer(where, pointer, public_key)
    _check_number(where, pointer)
    return pointer, content.generation if content else 0


def _check_number(where: str, pointer: Pointer | None) -> None:
    """Raises GateError if the pointer was turned back behind what this reader has seen before."""
    text = os.environ.get(MIN_SERVING_VARIABLE, "")
    if not text:
        return
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise UsageError(f"{MIN_SERVING_VARIABLE}={text[:80]!r}: must be a whole number")
    number = pointer.current.serving if pointer else 0
    if number < int(text):
        raise GateError(
            f"{where}: turned back: its serving number {number} is below {MIN_SERVING_VARIABLE}={text}"
        )


def set_min_serving(number: int | None) -> None:
    """Puts the number that a flag names where readers look for it."""
    if number is not None:
        os.environ[MIN_SERVING_VARIABLE] = str(number)


def read_champion(bucket: Bucket) -> Champion | None:
    """Returns the champion, or None where nothing was ever published.

    Its files are not read: `download_version` and `verify_version` do that.

    Raises:
      DataError: a pointer to nothing, or a pointer or manifest that is damaged or altered.
      GateError: as `read_pointer` raises it, and if the manifest has no signature that verifies.
      StorageError: the bucket is missing, refuses or does not answer.
    """
    public_key = signing.required_key(bucket)
    pointer, generation = read_pointer_signed_with(bucket, public_key)
    if pointer is None:
        return None
    version = pointer.current.version
    name = manifest_name(version)
    content = bucket.read(name)
    if content is None:
        raise DataError(f"{bucket.uri}/{POINTER}: names version {version}, which has no {name}")
    if hashlib.sha256(content.data).hexdigest() != pointer.manifest_sha256:
        raise DataError(f"{bucket.uri}/{name}: not the manifest that {POINTER} names; it was altered")
    return Champion(version, generation, _manifest_of(bucket, version, content.data, public_key), pointer)


def serving_number(name: str) -> int | None:
    """Returns the number of an object below `serving/`; None if TensorFlow Serving sees no number there.

    It reads an int64; other folders are nothing to it.
    """
    text = name.removeprefix(SERVING).split("/")[0]
    is_number = text.isascii() and text.isdecimal() and len(text) < 20
    return int(text) if is_number and int(text) < 2**63 else None


def published_versions(bucket: Bucket) -> list[str]:
    """Returns the versions that have a manifest, which is written when all else of a version is there."""
    return [
        version
        for version, objects in list_versions(bucket).items()
        if any(stored.name == manifest_name(version) for stored in objects)
    ]


def read_manifest(bucket: Bucket, version: str, *, signed: bool = True) -> Manifest:
    """Returns a version's checked manifest.

    Args:
      bucket: where from.
      version: 64 hex digits.
      signed: False to take it without the signature that the bucket needs, in order to sign it.

    Raises:
      UsageError: not a version's name.
      DataError: no such version, or a manifest that is damaged or altered.
      GateError: the bucket needs signatures and this version has none that verifies.
    """
    if not is_version(version):
        raise UsageError(f"version={version[:80]!r}: must be 64 hex digits")
    content = bucket.read(manifest_name(version))
    if content is None:
        raise DataError(f"{bucket.uri}: no version {version}")
    return _manifest_of(bucket, version, content.data, signing.required_key(bucket) if signed else None)


def verify_serving(bucket: Bucket, champion: Champion) -> None:
    """Reads every byte of the champion's copy for TensorFlow Serving.

    Raises:
      DataError: naming the file that is altered, missing, or not in the manifest.
    """
    _verify_files(bucket, champion.manifest, f"{SERVING}{champion.pointer.current.serving}/")


def list_versions(bucket: Bucket) -> dict[str, list[StoredObject]]:
    """Returns every version's objects by its name: published ones, and what was never finished."""
    versions: dict[str, list[StoredObject]] = {}
    for stored in bucket.list(VERSIONS):
        version = stored.name.split("/")[1]
        if is_version(version):
            versions.setdefault(version, []).append(stored)
    return versions


def find_version(bucket: Bucket, text: str, *, signed: bool = True) -> str:
    """Returns the published version that `text` names: in full, by its first 6 or more digits, or `champion`.

    Args:
      bucket: where from.
      text: what a person wrote.
      signed: as `read_pointer` takes it.

    Raises:
      UsageError: no version, or more than one, is named so.
      DataError: the pointer is damaged.
    """
    if text == "champion":
        pointer, _ = read_pointer(bucket, signed=signed)
        if pointer is None:
            raise UsageError(f"{bucket.uri}: no champion yet")
        return pointer.current.version
    versions = published_versions(bucket)
    found = [version for version in versions if version.startswith(text)]
    if len(text) < 6 or len(found) != 1:
        known = ", ".join(version[:12] for version in versions[:20]) or "none"
        raise UsageError(
            f"version={text[:80]!r}: must be champion, or 6 or more first digits of one of: {known}"
        )
    return found[0]


def verify_version(bucket: Bucket, version: str, *, signed: bool = True) -> Manifest:
    """Reads every byte of a version and returns its manifest if all are as it says.

    Args:
      bucket: where from.
      version: 64 hex digits.
      signed: as `read_manifest` takes it.

    Raises:
      DataError: naming the file that is altered, missing, or not in the manifest.
    """
    manifest = read_manifest(bucket, version, signed=signed)
    _verify_files(bucket, manifest, model_prefix(version))
    return manifest


def download_version(bucket: Bucket, version: str, directory: str | os.PathLike[str]) -> Manifest:
    """Downloads a version into `directory`, verified; all of it or nothing.

    Args:
      bucket: where from.
      version: 64 hex digits.
      directory: must not exist, or be empty.

    Raises:
      UsageError: `directory` holds something.
      DataError: a file that is altered, missing or not in the manifest; `directory` is untouched then.
    """
    target = Path(directory).absolute()
    with _written(target):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"directory={str(directory)!r}: exists and is not an empty directory")
    manifest = read_manifest(bucket, version)
    _check_names(bucket, manifest, model_prefix(version))
    staging = target.with_name(f".{target.name}.partial-{secrets.token_hex(6)}")

    def fetch(file: ModelFile) -> None:
        path = staging / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as output:
            _checked_transfer(bucket, f"{model_prefix(version)}{file.path}", file.digest, _Tee(output))

    try:
        with _written(target):
            staging.mkdir(parents=True)
            on_every_file(manifest.files, fetch)
            staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


@contextlib.contextmanager
def _written(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"directory={str(directory)!r}: cannot be written: {error.strerror}") from None


def on_every_file(files: Sequence[ModelFile], action: Callable[[ModelFile], object]) -> None:
    """Runs `action` on every file, large ones at once, and raises the first error."""
    at_once(action, files, [file.digest.size for file in files])


class _Tee(Digester):
    """Digests what it writes to `output`."""

    def __init__(self, output: BinaryIO) -> None:
        super().__init__()
        self._output = output

    def write(self, chunk: bytes) -> int:
        self._output.write(chunk)
        return super().write(chunk)


def _checked_transfer(bucket: Bucket, name: str, expected: Digest, sink: Digester) -> None:
    bucket.download(name, sink)
    if sink.digest() != expected:
        raise DataError(f"{bucket.uri}/{name}: altered; its size, CRC32C or SHA-256 is not the manifest's")


def _verify_files(bucket: Bucket, manifest: Manifest, prefix: str) -> None:
    """Raises DataError unless the files under `prefix` are those of the manifest, byte for byte."""

    def verify(file: ModelFile) -> None:
        _checked_transfer(bucket, f"{prefix}{file.path}", file.digest, Digester())

    _check_names(bucket, manifest, prefix)
    on_every_file(manifest.files, verify)


def _check_names(bucket: Bucket, manifest: Manifest, prefix: str) -> None:
    """Raises DataError unless the files under `prefix` have the names that the manifest lists."""
    found = {stored.name for stored in bucket.list(prefix)}
    listed = {f"{prefix}{file.path}" for file in manifest.files}
    for name in sorted(listed - found):
        raise DataError(f"{bucket.uri}/{name}: missing, although the manifest lists it")
    for name in sorted(found - listed):
        raise DataError(f"{bucket.uri}/{name}: extra; the manifest does not list it")


def _manifest_of(bucket: Bucket, version: str, data: bytes, public_key: str | None) -> Manifest:
    where = f"{bucket.uri}/{manifest_name(version)}"
    manifest = parse_manifest(data, where)
    if manifest.version != version:
        raise DataError(f"{where}: is the manifest of version {manifest.version}")
    signing.check(bucket, version, data, public_key)
    return manifest
