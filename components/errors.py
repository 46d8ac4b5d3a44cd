"""What can go wrong in a component, and the exit code that says so.

with reported():
    core.train(...)   # a DataError leaves one line on stderr and exit code 3
"""

import contextlib
import reprlib
import sys
from collections.abc import Iterator
from typing import ClassVar

MAX_MESSAGE = 2_000  # characters
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 120
_SHORT.maxlong = 40
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 20


class PipelineError(Exception):
    """One line for the user: field or file, value, what is allowed."""

    exit_code: ClassVar[int] = 1


class UsageError(PipelineError, ValueError):
    """A parameter, flag or file that the caller wrote is wrong."""

    exit_code = 2


class DataError(PipelineError):
    """Data is damaged, incomplete or not what its checksum says; or training on it diverged."""

    exit_code = 3


class GateError(PipelineError):
    """The gate is closed: this model must not be published."""

    exit_code = 4


class StorageError(PipelineError):
    """A bucket, a mirror or another remote end refused, is missing or does not answer."""

    exit_code = 5


class RetryableError(PipelineError):
    """Interrupted in a way that a rerun continues from (EX_TEMPFAIL)."""

    exit_code = 75


ERRORS: dict[str, type[PipelineError]] = {
    kind.__name__: kind for kind in (UsageError, DataError, GateError, StorageError, RetryableError)
}


def one_line(error: BaseException) -> str:
    """Returns an error's message for a person: one line that steers no terminal and fits a screen."""
    words = " ".join(str(error).split())
    shown = "".join(character if character.isprintable() else "?" for character in words)
    if len(shown) <= MAX_MESSAGE:
        return shown
    return f"{shown[: MAX_MESSAGE - 200]} … {shown[-150:]} ({len(shown)} characters)"


def shortened(text: str) -> str:
    """Returns a text as messages have it where it needs no quotes: the middle of a long one left out."""
    return text if len(text) <= 120 else f"{text[:90]}...{text[-20:]}"


def quoted(value: object) -> str:
    """Returns a value as messages have it: as Python writes it, the middle of a long one left out."""
    return _SHORT.repr(value)


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turns a `PipelineError` into its one line on stderr and its exit code, without a traceback.

    Raises:
      SystemExit: with the error's exit code. Other exceptions are bugs and pass through.
    """
    try:
        yield
    except PipelineError as error:
        print(f"{type(error).__name__}: {one_line(error)}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None
