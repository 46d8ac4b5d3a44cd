"""`~` in the paths that a person gives: quotes, make and YAML keep a shell from expanding it."""

from pathlib import Path
from typing import TypeVar

from components.errors import UsageError, quoted

Given = TypeVar("Given", str, Path)


def expanded(path: Given) -> Given:
    """Returns `path` with somebody's home in the place of `~` or `~name` at its start.

    Raises:
      UsageError: there is no such user.
    """
    if not str(path).startswith("~"):
        return path
    try:
        return type(path)(Path(path).expanduser())
    except RuntimeError:
        raise UsageError(f"{quoted(str(path))}: there is no such user's home") from None
