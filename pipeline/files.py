"""Files that a person names: read within a bound, written whole or not at all, each error one line."""

import os
import tempfile
from pathlib import Path

from components.errors import StorageError, UsageError, quoted


def read_text(path: Path, field: str = "", *, most: int = 1 << 20) -> str:
    """Returns what a file of UTF-8 holds.

    Args:
      path: a file, or a pipe.
      field: the option that names it; empty for a file that needs no introduction.
      most: bytes; a device or a wrong file would fill the memory.

    Raises:
      UsageError: it cannot be read, is larger, or is no text.
    """
    shown = f"{field}={path}" if field else str(path)
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise UsageError(f"{shown}: is larger than {most} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{shown}: is not UTF-8: byte {error.start}") from None


def make_folder(path: Path, field: str) -> None:
    """Makes a folder and those above it, where they are not there yet.

    Raises:
      StorageError: it cannot be made, or something else has its name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{field}={quoted(str(path))}: cannot be made: {error.strerror}") from None


def write_text(path: Path, text: str, field: str) -> None:
    """Writes a file in a folder that is made for it; whoever reads it sees the old one or all of the new.

    Raises:
      StorageError: it cannot be written; what was there is left as it was.
    """
    make_folder(path.parent, field)
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            mask = os.umask(0)
            os.umask(mask)
            Path(beside).chmod(0o666 & ~mask)  # mkstemp's are for their owner alone
            Path(beside).replace(path)
        finally:
            Path(beside).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{field}={quoted(str(path))}: cannot be written: {error.strerror}") from None
