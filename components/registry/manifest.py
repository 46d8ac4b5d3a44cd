"""What the registry writes as JSON: a version's manifest, and the pointer that names the champion.

Pure: bytes in, checked values out. What is read from a bucket passes through here before it becomes a name.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from components import json_objects
from components.errors import DataError, UsageError
from components.json_objects import JsonObject
from components.model.contract import GRAPH_FILE
from components.registry.files import ModelFile, tree_hash
from components.storage.digests import Digest
from components.storage.uri import checked_name

MANIFEST_FORMAT = "mnist-pipeline/manifest/1"
POINTER_FORMAT = "mnist-pipeline/champion/1"
HISTORY_KEPT = 20

_VERSION = re.compile(r"[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CRC32C = re.compile(r"[A-Za-z0-9+/]{6}==")
MAX_SERVING = 2**62  # TensorFlow Serving reads the number as an int64


@dataclass(frozen=True)
class Manifest:
    """What one published version consists of, and where it came from.

    Attributes:
      version: the model's tree hash, which is its name in the bucket.
      created: ISO 8601, UTC.
      files: sorted by path.
      provenance: git_revision, image, dataset_fingerprint, parameters, metrics, parent, …; JSON values.
    """

    version: str
    created: str
    files: tuple[ModelFile, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Returns the JSON that `parse_manifest` reads."""
        files = [{"path": file.path, **asdict(file.digest)} for file in self.files]
        return _encode({"format": MANIFEST_FORMAT, **asdict(self), "files": files})


@dataclass(frozen=True)
class Move:
    """One position of the pointer: a version, its TensorFlow Serving number, and since when (ISO 8601)."""

    version: str
    serving: int
    moved: str


@dataclass(frozen=True)
class Pointer:
    """The champion: the one object of a bucket that changes.

    Attributes:
      current: what it names.
      manifest_sha256: of the manifest's bytes.
      first_serving: the first TensorFlow Serving number; those from it to the current one are the registry's.
      history: what it named before, newest first.
      signatures: of `signed_bytes`, by the id of the key that each was made with.
    """

    current: Move
    manifest_sha256: str
    first_serving: int
    history: tuple[Move, ...] = ()
    signatures: dict[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Returns the JSON that `parse_pointer` reads."""
        signatures = {"signatures": self.signatures} if self.signatures else {}
        return _encode(self._unsigned() | signatures)

    def signed_bytes(self) -> bytes:
        """Returns what a signature is about: all of the pointer but its signatures."""
        return _encode(self._unsigned())

    def moved_to(self, version: str, manifest_sha256: str) -> "Pointer":
        """Returns the pointer after a move, unsigned, under the next number, remembering where it was."""
        history = (self.current, *self.history)
        current = Move(version, self.current.serving + 1, now())
        return Pointer(current, manifest_sha256, self.first_serving, _trimmed(history))

    def before(self) -> str | None:
        """Returns the champion that the current one took over from; None if none is remembered.

        A move to a version that had been the champion is taken for a way back to it: what came in between is
        passed over from then on. So from C, after A and B, one gets to B and from there to A.
        """
        way: list[str] = []
        for move in (*reversed(self.history), self.current):
            if move.version in way:
                del way[way.index(move.version) :]
            way.append(move.version)
        return way[-2] if len(way) > 1 else None

    def _unsigned(self) -> dict[str, Any]:
        return {
            "format": POINTER_FORMAT,
            **asdict(self.current),
            "manifest_sha256": self.manifest_sha256,
            "first_serving": self.first_serving,
            "history": [asdict(move) for move in self.history],
        }

    def moves_since(self, moment: datetime) -> tuple[Move, ...]:
        """Returns where this pointer was at any time after `moment`, newest first."""
        moves = [self.current]
        for move in self.history:
            if _time(moves[-1].moved) < moment:
                break
            moves.append(move)
        return tuple(moves)


def now() -> str:
    """Returns the present moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def is_version(text: str) -> bool:
    """Whether `text` has the form of a version's name."""
    return bool(_VERSION.fullmatch(text))


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Parses and checks a manifest.

    Args:
      data: its bytes.
      where: what error messages call it.

    Raises:
      DataError: not JSON, a field that is missing or of another type, a path that leaves the directory or
        comes twice, no saved_model.pb, files whose tree hash is not the version, or an edited file.
    """
    fields = json_objects.parse_format(data, where, MANIFEST_FORMAT)
    files = tuple(_file(row) for row in fields.objects("files"))
    paths = [file.path for file in files]
    manifest = Manifest(
        version=fields.matching("version", _VERSION),
        created=_moment(fields, "created"),
        files=files,
        provenance=fields.nested("provenance").values,
    )
    if len(set(paths)) != len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise DataError(f"{where}: lists {twice!r} twice")
    if GRAPH_FILE not in paths:
        raise DataError(f"{where}: lists no {GRAPH_FILE}")
    if tree_hash(files) != manifest.version:
        raise DataError(f"{where}: its files do not hash to version {manifest.version}; it was altered")
    if manifest.encode() != data:  # so a parsed manifest's SHA-256 is that of its bytes
        raise DataError(f"{where}: not byte for byte what a publisher writes; it was altered")
    return manifest


def parse_pointer(data: bytes, where: str) -> Pointer:
    """Parses and checks a pointer; raises DataError as `parse_manifest` does."""
    fields = json_objects.parse_format(data, where, POINTER_FORMAT)
    pointer = Pointer(
        current=_move(fields),
        manifest_sha256=fields.matching("manifest_sha256", _SHA256),
        first_serving=fields.integer("first_serving"),
        history=tuple(_move(row) for row in fields.objects("history")),
        signatures=_signatures(fields),
    )
    if not 0 < pointer.first_serving <= pointer.current.serving:
        raise DataError(f"{where}: first_serving={pointer.first_serving} must be from 1 to serving")
    return pointer


def _encode(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _moment(fields: JsonObject, name: str) -> str:
    value = fields.text(name)
    try:
        _time(value)
    except ValueError:
        raise DataError(f"{fields.where}: {name}={value[:80]!r} is not an ISO 8601 time in UTC") from None
    return value


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() != timedelta(0):
        raise ValueError("not UTC")
    return moment


def _file(row: JsonObject) -> ModelFile:
    path = row.text("path")
    try:
        checked_name(path)
    except UsageError as error:
        raise DataError(f"{row.where}: {error}") from None
    size = row.integer("size")
    if size < 0:
        raise DataError(f"{row.where}: size={size} of {path!r} is negative")
    return ModelFile(path, Digest(size, row.matching("crc32c", _CRC32C), row.matching("sha256", _SHA256)))


def _move(row: JsonObject) -> Move:
    serving = row.integer("serving")
    if not 0 < serving < MAX_SERVING:
        raise DataError(f"{row.where}: serving={serving} must be from 1 to {MAX_SERVING - 1}")
    return Move(row.matching("version", _VERSION), serving, _moment(row, "moved"))


def _signatures(fields: JsonObject) -> dict[str, str]:
    if "signatures" not in fields.values:
        return {}
    signatures = fields.nested("signatures")
    return {key: signatures.text(key) for key in signatures.values}


def _trimmed(history: tuple[Move, ...]) -> tuple[Move, ...]:
    """Keeps the newest moves, and all of the last day: `gc` spares what the pointer named in it."""
    day_ago = datetime.now(UTC) - timedelta(days=1)
    recent = sum(_time(move.moved) > day_ago for move in history)
    return history[: max(HISTORY_KEPT, recent + 1)]
