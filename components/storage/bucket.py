"""One small interface to a place that holds published models: a `gs://` prefix or a local directory.

    bucket = open_bucket("gs://models/mnist")         # components.storage.opening
    pointer = bucket.read("champion.json")            # Content(data, generation) or None
    bucket.write("champion.json", new, generation=pointer.generation)   # ConflictError if it moved meanwhile

Both kinds behave the same. A generation is a positive integer that grows with every write of a name; 0 stands
for "does not exist", so writing with `generation=0` is create-if-absent. A write whose precondition fails
although the object already holds exactly these bytes is a success: that is what a lost acknowledgement looks
like.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from components.errors import StorageError
from components.storage.digests import Digest

READ_LIMIT_BYTES = 16 << 20  # a manifest or a pointer; anything larger is not one


class ConflictError(StorageError):
    """The object is not at the generation that the caller expected, and holds other bytes."""


@dataclass(frozen=True)
class Content:
    """A small object's bytes, and the generation that they were."""

    data: bytes
    generation: int


@dataclass(frozen=True)
class StoredObject:
    """One object of a bucket.

    Attributes:
      name: relative to the bucket URI.
      size: bytes.
      generation: grows with every write of this name.
      updated: seconds since 1970 of the last write, by the store's clock.
      crc32c: base64 as in `Digest`; None in the listing of a store that does not keep checksums.
    """

    name: str
    size: int
    generation: int
    updated: float
    crc32c: str | None = None

    def holds(self, digest: Digest) -> bool:
        """Whether this object's size and CRC32C are those of `digest`."""
        return self.size == digest.size and self.crc32c == digest.crc32c


class Sink(Protocol):
    """Takes the chunks of a download, in order, each byte once."""

    def write(self, chunk: bytes, /) -> object:
        """Takes one chunk."""


def pass_on(chunk: bytes, sink: Sink, where: str) -> None:
    """Gives a sink a chunk of the object `where`.

    Raises:
      StorageError: the sink has no room; the store that the chunk came from is not to blame for that.
    """
    try:
        sink.write(chunk)
    except OSError as error:
        raise StorageError(f"{where}: cannot be kept here: {error.strerror or error}") from error


class Bucket(Protocol):
    """A bucket; every method raises StorageError when the store refuses or does not answer in time."""

    @property
    def uri(self) -> str:
        """The bucket's URI without a slash at its end; `f"{uri}/{name}"` is an object's."""

    def read(self, name: str, limit: int = READ_LIMIT_BYTES) -> Content | None:
        """Returns a small object, or None if there is none; DataError if it is larger than `limit` bytes."""

    def stat(self, name: str) -> StoredObject | None:
        """Returns one object's size, CRC32C and generation, or None if there is none."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yields every object whose name starts with `prefix` ("" or ending in a slash), sorted by name."""

    def write(self, name: str, data: bytes, *, generation: int) -> StoredObject:
        """Writes a small object if it is at `generation`, else raises ConflictError."""

    def upload(self, name: str, path: Path, digest: Digest, *, generation: int = 0) -> StoredObject:
        """Streams a file up if `name` is at `generation`, and checks size and CRC32C of what arrived.

        Raises:
          ConflictError: `name` is at another generation and holds other bytes.
          DataError: the file is not (any more) what `digest` says, or what arrived is not.
        """

    def copy(self, source: str, name: str, digest: Digest) -> StoredObject:
        """Copies `source` to `name`, if absent, inside the store; raises as `upload` does."""

    def download(self, name: str, sink: Sink) -> None:
        """Streams an object into `sink`; DataError if there is none or its bytes fail their checksum."""

    def delete(self, name: str, *, generation: int) -> bool:
        """Deletes `name` if it is at `generation`; returns whether it did, False when it moved or is gone."""

    def remove_unfinished(self, older_than: float) -> int:
        """Removes what killed writers left, if older than so many seconds; returns how many it removed."""

    def check_writable(self) -> None:
        """Raises StorageError if objects could not be written here. Leaves nothing behind."""
