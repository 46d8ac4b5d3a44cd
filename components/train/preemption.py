"""Takes notice of a request to stop, so that a run can save what it has before it does."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Notice:
    """Whether, and by what signal, this process was asked to stop."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Keeps the signal's name; what `signal.signal` calls."""
        self.signal = signal.Signals(number).name


@contextlib.contextmanager
def noticed() -> Iterator[Notice]:
    """Notes SIGTERM and SIGINT instead of dying of them; in the main thread only, where Python has them."""
    notice = Notice()
    if threading.current_thread() is not threading.main_thread():
        yield notice
        return
    before = {number: signal.signal(number, notice.take) for number in SIGNALS}
    try:
        yield notice
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
