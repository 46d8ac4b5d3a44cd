"""How long one operation on a store may take, in all: a deadline, and more for what it moves.

    with allowed(120):
        ...   # 120 seconds; each 64 KiB that comes or goes gives one back

A store that answers, but a byte at a time, has no end that a timeout between two bytes would find. One that
moves data at a slow line's speed earns the time that it takes, and saves none up: it never has more than the
deadline left.
"""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

SLOWEST_BYTES_PER_SECOND = 64 << 10


class OutOfTimeError(Exception):
    """The operation has used up what it was allowed. It is no OSError: nobody is to try that again."""


class Allowance:
    """What an operation has left."""

    def __init__(self, seconds: float) -> None:
        self._most = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Returns the seconds that are left; raises OutOfTimeError if there are none."""
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise OutOfTimeError
        return seconds

    def earn(self, moved: int) -> None:
        """Adds what moving so many bytes is worth."""
        self._end = min(self._end + moved / SLOWEST_BYTES_PER_SECOND, time.monotonic() + self._most)


_CURRENT: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


def current() -> Allowance | None:
    """Returns the allowance of this thread's operation, None outside of any."""
    return _CURRENT.get()


@contextlib.contextmanager
def allowed(seconds: float) -> Iterator[None]:
    """Limits what is done inside, in this thread. Inside another one, that one stays."""
    if _CURRENT.get() is not None:
        yield
        return
    token = _CURRENT.set(Allowance(seconds))
    try:
        yield
    finally:
        _CURRENT.reset(token)
