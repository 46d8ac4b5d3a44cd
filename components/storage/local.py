"""A bucket in a local directory, with the semantics of a remote one.

An object is a plain file, so TensorFlow Serving and `cp` can read it. Its generation is its modification time
in nanoseconds, made to grow with every write. New content is written beside, synced, then renamed into place
under a lock that every process takes and that the kernel drops when its holder dies: a reader sees the old
bytes or the new ones, whenever a writer is killed.
"""

import contextlib
import fcntl
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from components.errors import DataError, StorageError
from components.storage.bucket import READ_LIMIT_BYTES, ConflictError, Content, Sink, StoredObject, pass_on
from components.storage.digests import CHUNK_BYTES, Digest, Digester, digest_bytes, digest_file
from components.storage.uri import checked_name

OWN_DIRECTORY = ".bucket"  # the lock and unfinished writes; never listed
STAGING = f"{OWN_DIRECTORY}/staging"
# Some file systems keep coarse times; the step that survives rounding is taken.
_GENERATION_STEPS_NS = (1, 1_000, 1_000_000, 2_000_000_000)


class LocalBucket:
    """The bucket in the directory `root`, which the first write creates."""

    def __init__(self, root: Path, *, deadline: float) -> None:
        self._root = root.absolute()
        self._deadline = deadline

    @property
    def uri(self) -> str:
        """The directory."""
        return str(self._root)

    def read(self, name: str, limit: int = READ_LIMIT_BYTES) -> Content | None:
        """See `Bucket.read`."""
        with self._reported("read", name), self._opened(name) as file:
            if file is None:
                return None
            data = file.read(limit + 1)
            generation = os.fstat(file.fileno()).st_mtime_ns
        if len(data) > limit:
            raise DataError(f"{self.uri}/{name}: larger than {limit} bytes")
        return Content(data, generation)

    def stat(self, name: str) -> StoredObject | None:
        """See `Bucket.stat`. Reads the file for its checksum."""
        path = self._path(name)
        with self._reported("read", name):
            return _stored(name, path, digest_file(path).crc32c) if self._status(name) else None

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Bucket.list`."""
        top = self._path(prefix.removesuffix("/")) if prefix else self._root
        with self._reported("list", prefix):
            paths = sorted(path for path in top.rglob("*") if path.is_file())
        for path in paths:
            name = path.relative_to(self._root).as_posix()
            if not name.startswith(f"{OWN_DIRECTORY}/"):
                with contextlib.suppress(FileNotFoundError):  # deleted since
                    yield _stored(name, path, None)

    def write(self, name: str, data: bytes, *, generation: int) -> StoredObject:
        """See `Bucket.write`."""
        with self._reported("write", name), self._staged() as staged:
            with staged.open("xb") as file:
                file.write(data)
                _sync(file.fileno())
            return self._commit(staged, name, digest_bytes(data), generation)

    def upload(self, name: str, path: Path, digest: Digest, *, generation: int = 0) -> StoredObject:
        """See `Bucket.upload`."""
        with self._reported("write", name), self._staged() as staged:
            digester = Digester()
            with path.open("rb") as source, staged.open("xb") as file:
                while chunk := source.read(CHUNK_BYTES):
                    digester.write(chunk)
                    file.write(chunk)
                file.flush()
                _sync(file.fileno())
            if digester.digest() != digest:
                raise DataError(f"{path}: changed while it was being published")
            return self._commit(staged, name, digest, generation)

    def copy(self, source: str, name: str, digest: Digest) -> StoredObject:
        """See `Bucket.copy`."""
        with self._reported("read", source):
            if not self._status(source):
                raise DataError(f"{self.uri}/{source}: no such object")
        return self.upload(name, self._path(source), digest)

    def download(self, name: str, sink: Sink) -> None:
        """See `Bucket.download`."""
        with self._reported("read", name), self._opened(name) as file:
            if file is None:
                raise DataError(f"{self.uri}/{name}: no such object")
            while chunk := file.read(CHUNK_BYTES):
                pass_on(chunk, sink, f"{self.uri}/{name}")

    def delete(self, name: str, *, generation: int) -> bool:
        """See `Bucket.delete`. Also removes directories that became empty."""
        path = self._path(name)
        with self._reported("delete", name), self._locked():
            if generation == 0 or self._generation(name) != generation:
                return False
            path.unlink()
            for parent in path.relative_to(self._root).parents:
                try:
                    (self._root / parent).rmdir()
                except OSError:
                    break
        return True

    def check_writable(self) -> None:
        """See `Bucket.check_writable`."""
        existing = next(path for path in (self._root, *self._root.parents) if os.path.lexists(path))
        inner = {name: self._path(name) for name in (OWN_DIRECTORY, STAGING, "versions", "serving")}
        for name, directory in [("", existing), *inner.items()]:
            if directory.exists():
                with self._reported("write to", name), tempfile.TemporaryFile(dir=directory):
                    pass

    def remove_unfinished(self, older_than: float) -> int:
        """See `Bucket.remove_unfinished`."""
        removed = 0
        for path in (self._root / STAGING).glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime >= older_than:
                    path.unlink()
                    removed += 1
        return removed

    def _path(self, name: str) -> Path:
        """Returns where an object is; StorageError if a link leads out of the bucket on the way there."""
        path = self._root
        for segment in checked_name(name).split("/"):
            path /= segment
            if path.is_symlink():  # a listing would not follow it, and a write would replace it
                raise StorageError(
                    f"bucket {self.uri}: {path.relative_to(self._root)} is a symbolic link; a bucket has none"
                )
        return path

    def _status(self, name: str) -> os.stat_result | None:
        """Returns a file's status, None if there is none; StorageError if something else has its name."""
        try:
            return self._regular(name, self._path(name).stat())
        except FileNotFoundError:
            return None

    def _generation(self, name: str) -> int:
        status = self._status(name)
        return status.st_mtime_ns if status else 0

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[BinaryIO | None]:
        """Opens an object for reading; gives None if there is none."""
        try:
            is_there = self._status(name) is not None
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NONBLOCK) if is_there else -1
        except FileNotFoundError:  # deleted in between
            descriptor = -1
        if descriptor < 0:
            yield None
            return
        with os.fdopen(descriptor, "rb") as file:
            yield file

    def _regular(self, name: str, status: os.stat_result) -> os.stat_result:
        if not stat.S_ISREG(status.st_mode):
            kind = "directory" if stat.S_ISDIR(status.st_mode) else "special file"
            raise StorageError(f"bucket {self.uri}: {name}: a {kind}, not a file")
        return status

    def _commit(self, staged: Path, name: str, digest: Digest, generation: int) -> StoredObject:
        """Renames `staged` to `name` if that is at `generation`."""
        path = self._path(name)
        with self._locked():
            current = self._generation(name)
            if current != generation:
                existing = self.stat(name)
                if existing and existing.holds(digest):
                    return existing
                raise ConflictError(f"{self.uri}/{name}: is at generation {current}, not {generation}")
            path.parent.mkdir(parents=True, exist_ok=True)
            _advance(staged, current)
            staged.replace(path)
            self._sync_directories(path)
            return _stored(name, path, digest.crc32c)

    @contextlib.contextmanager
    def _staged(self) -> Iterator[Path]:
        """Gives the path of a new file that is gone afterwards, unless it was renamed."""
        directory = self._root / STAGING
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the bucket's lock, across threads and processes."""
        (self._root / OWN_DIRECTORY).mkdir(parents=True, exist_ok=True)
        give_up = time.monotonic() + self._deadline
        with (self._root / OWN_DIRECTORY / "lock").open("ab") as lock:
            while not _try_lock(lock.fileno()):
                if time.monotonic() > give_up:
                    raise StorageError(
                        f"bucket {self.uri}: locked by another process for {self._deadline:g} s"
                    )
                time.sleep(0.005)
            yield

    def _sync_directories(self, path: Path) -> None:
        for parent in path.relative_to(self._root).parents:
            descriptor = os.open(self._root / parent, os.O_RDONLY)
            try:
                _sync(descriptor)
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def _reported(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f" {name}" if name else ""
            raise StorageError(
                f"bucket {self.uri}: cannot {verb}{where}: {error.strerror or error}"
            ) from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _advance(path: Path, current: int) -> None:
    """Sets the file's modification time to now, and past `current`."""
    for step in _GENERATION_STEPS_NS:
        wanted = max(time.time_ns(), current + step)
        os.utime(path, ns=(wanted, wanted))
        if path.stat().st_mtime_ns > current:
            return
    raise StorageError(f"{path}: this file system does not keep modification times")


def _stored(name: str, path: Path, crc32c: str | None) -> StoredObject:
    status = path.stat()
    return StoredObject(name, status.st_size, status.st_mtime_ns, status.st_mtime, crc32c)


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)
