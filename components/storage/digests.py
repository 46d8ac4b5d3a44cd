"""What bytes are: their size, CRC32C and SHA-256, taken in one pass."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Digest:
    """What a file's content must be.

    Attributes:
      size: bytes.
      crc32c: base64 of the big-endian CRC32C, as Google Cloud Storage writes it.
      sha256: hex.
    """

    size: int
    crc32c: str
    sha256: str


class Digester:
    """A sink that digests what is written to it: `write(chunk)`, then `digest()`."""

    def __init__(self) -> None:
        import google_crc32c

        self._size = 0
        self._extend = google_crc32c.extend
        self._crc32c = 0
        self._sha256 = hashlib.sha256()

    def write(self, chunk: bytes) -> int:
        """Takes in `chunk` and returns its length, as a file does."""
        self._size += len(chunk)
        self._crc32c = self._extend(self._crc32c, chunk)
        self._sha256.update(chunk)
        return len(chunk)

    def digest(self) -> Digest:
        """Returns the digest of everything written so far."""
        crc32c = base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()
        return Digest(self._size, crc32c, self._sha256.hexdigest())


def digest_bytes(data: bytes) -> Digest:
    """Returns the digest of `data`."""
    digester = Digester()
    digester.write(data)
    return digester.digest()


def digest_file(path: Path) -> Digest:
    """Returns the digest of the file at `path`, read in chunks of 1 MiB."""
    digester = Digester()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digester.write(chunk)
    return digester.digest()
