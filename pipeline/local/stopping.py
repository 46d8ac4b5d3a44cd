"""How a run on this machine is stopped: who asks for it, and how its task gets to know.

The launcher is asked by a signal: Ctrl-C, SIGTERM, or SIGHUP when a connection drops. KFP does not say which
process its task is, so the launcher leaves a note in a folder of the run's own, where the task's process
looks for it.
"""

import contextlib
import os
import signal
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

from components.errors import RetryableError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAVE_SECONDS = 60.0  # from SIGTERM to SIGKILL: what a task has to save, it can save in that time
_LOOK_SECONDS = 0.1
Handler = Callable[[int, types.FrameType | None], None]


class Stop:
    """The wish that a run ends: first for what it can save, then at once.

    Attributes:
      directory: where the notes are; only the run's own processes know it.
    """

    def __init__(self, directory: Path, launcher: int | None = None) -> None:
        """Makes the launcher's end; a task names its launcher's process, whose death is a wish too."""
        self.directory = directory
        self._launcher = launcher

    def ask(self, why: str) -> None:
        """Asks, by the name of a signal; the first one is kept."""
        with (
            contextlib.suppress(FileExistsError),
            (self.directory / "stop").open("x", encoding="ascii") as note,
        ):
            note.write(why)

    def give_up(self) -> None:
        """Asks for the end, saved or not."""
        (self.directory / "give-up").touch()

    @property
    def asked(self) -> str:
        """Why to stop; "" while there is no reason."""
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / "stop").read_text(encoding="ascii") or "a signal"
        return "" if self._launcher in (None, os.getppid()) else "its launcher's end"

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for anything to be saved any more."""
        return (self.directory / "give-up").exists()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """The launcher's: the first signal asks, the second gives up, a third raises KeyboardInterrupt."""
        taken = 0

        def take(number: int, _frame: types.FrameType | None) -> None:
            nonlocal taken
            taken += 1
            if taken == 1:
                self.ask(signal.Signals(number).name)
            elif taken == 2:
                self.give_up()
            else:
                raise KeyboardInterrupt

        with handling(take):
            yield

    @contextlib.contextmanager
    def passed_on(
        self, end: Callable[[], None], kill: Callable[[], None], *, heeds_first: bool = True
    ) -> Iterator[None]:
        """The task's: calls `end` when the run is to stop, and `kill` if that takes too long.

        Args:
          end: tells the task to save what it has and to end.
          kill: ends it; called at once when all is given up.
          heeds_first: False for a task that runs because the run ends: it stops only if all is given up.
        """
        over = threading.Event()

        def look() -> None:
            while not (self.given_up or (heeds_first and self.asked)):
                if over.wait(_LOOK_SECONDS):
                    return
            end()
            deadline = time.monotonic() + SAVE_SECONDS
            while not (self.given_up or time.monotonic() > deadline):
                if over.wait(_LOOK_SECONDS):
                    return
            kill()

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


@contextlib.contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """Handles SIGNALS, but for those that whoever started this process wants ignored, as `nohup` does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextlib.contextmanager
def as_errors() -> Iterator[None]:
    """Turns a signal into a RetryableError, so that what was begun is undone on the way out."""

    def interrupt(number: int, _frame: types.FrameType | None) -> None:
        raise RetryableError(f"interrupted by {signal.Signals(number).name}")

    with handling(interrupt):
        yield
