"""What can go wrong in a component, and the exit code that says so.

with reported():
    core.train(...)   # a DataError leaves one line on stderr and exit code 3
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import ClassVar


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


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turns a `PipelineError` into its one line on stderr and its exit code, without a traceback.

    Raises:
      SystemExit: with the error's exit code. Other exceptions are bugs and pass through.
    """
    try:
        yield
    except PipelineError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None
