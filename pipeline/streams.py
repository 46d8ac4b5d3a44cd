"""stdout and stderr as people have them: closed, full, piped into `head`, without our characters."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import ClassVar, TextIO

from components.errors import PipelineError, StorageError


class ReaderGoneError(PipelineError):
    """Who read what this program prints has ended, as `head` does; nothing is wrong."""

    exit_code: ClassVar[int] = 141  # a shell's word for a program that SIGPIPE ended


class _Stream(io.TextIOWrapper):
    """Once it cannot be written it leads nowhere: what its buffers hold is flushed again at the end."""

    def write(self, text: str) -> int:
        with self._watched():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._watched():
            super().flush()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            self._say(error)

    def _say(self, error: OSError) -> None:
        """Of stderr it can be said nowhere; the exit code still tells how the command ended."""


class _Stdout(_Stream):
    def _say(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError("stdout: its reader has ended") from None
        raise StorageError(f"stdout: cannot be written: {error.strerror}") from None


def prepare() -> None:
    """Makes the process's streams fit for what is behind them; for its start, before anything is printed."""
    _open_the_closed()
    sys.stdout = _made(sys.stdout, sys.__stdout__, 1, _Stdout)
    sys.stderr = _made(sys.stderr, sys.__stderr__, 2, _Stream)


def _made(stream: TextIO | None, own: TextIO | None, descriptor: int, kind: type[_Stream]) -> TextIO:
    if stream is None:  # was closed
        return open(descriptor, "w", encoding="utf-8", closefd=False)  # as long as the process
    if stream is not own or not isinstance(stream, io.TextIOWrapper):  # somebody captures it
        return stream
    encoding, by_line = stream.encoding, stream.line_buffering
    return kind(stream.detach(), encoding=encoding, errors="backslashreplace", line_buffering=by_line)


def _open_the_closed() -> None:
    """Else the next file that is opened is number 1, and a print goes into it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
