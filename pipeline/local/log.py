"""Reads what the tasks of a local run print, keeps all of it, and shows a person the part that matters."""

import contextlib
import dataclasses
import io
import re
import signal
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from components.errors import ERRORS, PipelineError, RetryableError
from pipeline.local import events
from pipeline.local.events import Event, Kind
from pipeline.local.terminal import Terminal

_ERROR = re.compile(rf"({'|'.join(ERRORS)}): (.*)")
_INDENT = "    "  # KFP's, before what a task prints
_TRACEBACK = "Traceback (most recent call last):"
# What the frameworks say about themselves: kept in run.log, of no use on the terminal.
_NOISE = re.compile(r"\[KFP Executor|^[WIEF]0000 |^WARNING: All log messages before absl|^\s*$")
_INPUT_DUMP = ("Got executor_input:", "}")  # KFP's executor prints its input as many lines of JSON
_SHOWN = 300  # characters of a foreign line in ours


@dataclasses.dataclass
class Attempt:
    """One attempt at a task, and what it has said about its failure.

    Attributes:
      error: its own line for the user: kind and message.
      exception: the last line of a traceback.
      last_line: whatever it said last.
      stopped_by: the signal's name, if it was asked to stop.
      exit_code: once it has ended.
    """

    task: str
    started: float = dataclasses.field(default_factory=time.monotonic)
    error: tuple[str, str] | None = None
    exception: str = ""
    last_line: str = ""
    stopped_by: str = ""
    exit_code: int = 0
    _in_dump: bool = False
    _in_traceback: bool = False

    def read(self, line: str) -> bool:
        """Takes a line that the task printed; returns whether a person wants to see it."""
        first, last = _INPUT_DUMP
        if self._in_dump or line.endswith(first):
            self._in_dump = line != last
            return False
        if error := _ERROR.fullmatch(line):
            self.error = (error[1], error[2])
            return False
        if _NOISE.search(line):
            return False
        self._read_traceback(line)
        self.last_line = line
        return True

    def _read_traceback(self, line: str) -> None:
        """A traceback's last line is the first that is not indented; of several the last one counts."""
        if line == _TRACEBACK:
            self._in_traceback = True
        elif self._in_traceback and not line.startswith(" "):
            self._in_traceback, self.exception = False, line

    def failure(self, log: Path) -> PipelineError:
        """Returns why it failed, for the user: the task's own line, or the best there is in its place."""
        kind, message = self.error or ("", "")
        if self.stopped_by and kind in ("", RetryableError.__name__):
            advice = message or "was stopped; a rerun starts it again"
            return RetryableError(f"interrupted by {self.stopped_by}: {self.task}: {advice}")
        if self.error:
            return ERRORS[kind](f"{self.task}: {message}")
        if self.exception:
            return PipelineError(f"{self.task}: {self.exception[:_SHOWN]}; see {log}")
        words = f": {self.last_line[:_SHOWN]}" if self.last_line else ", without a word"
        return PipelineError(f"{self.task} {_how_it_ended(self.exit_code)}{words}; see {log}")


class RunLog(io.TextIOBase):
    """A stdout for KFP's local runner: everything goes to `path`, the gist to the terminal.

    Attributes:
      started: names of the tasks that were started.
      failed: the task that failed for good, None while there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: set[str] = set()
        self.failed: Attempt | None = None
        self._attempt: Attempt | None = None
        self._line = ""
        self._terminal = Terminal()  # before stdout is taken over
        self._file: TextIO | None = None

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        """Takes over stdout, and KFP's warnings about settings that only a cluster reads."""
        self._file = self.path.open("w", encoding="utf-8")
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(self):
                warnings.simplefilter("ignore")
                yield
        finally:
            with contextlib.suppress(OSError):  # as in `write`
                self._file.close()

    def writable(self) -> bool:
        """Says yes, as a stream must."""
        return True

    def write(self, text: str) -> int:
        """Takes part of a line, or several; acts on whole ones."""
        assert self._file is not None
        with contextlib.suppress(OSError):  # a full disk: what is said about it must still be read
            self._file.write(text)
            self._file.flush()
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._read(line.removeprefix(_INDENT))
        return len(text)

    def _read(self, line: str) -> None:
        if event := events.read(line):
            self._take(event)
        elif self._attempt and self._attempt.read(line):
            self._terminal.print(f"  {line}", style="dim", markup=False)

    def _take(self, event: Event) -> None:
        match event.kind:
            case Kind.STARTED:
                self._start(event.task)
            case Kind.STOPPING if self._attempt:
                self._attempt.stopped_by = event.detail
                self._terminal.print(
                    f"[bold]interrupted[/] by {event.detail}: waiting for {event.task} to save what it has; "
                    "Ctrl-C again to give up"
                )
            case Kind.SKIPPED:
                self.failed = self.failed or Attempt(event.task, stopped_by=event.detail)
            case Kind.ENDED if self._attempt:
                self._finish(self._attempt, int(event.detail))

    def _start(self, task: str) -> None:
        again = " again" if task in self.started else ""
        self.started.add(task)
        self._attempt = Attempt(task)
        if self.failed and task == self.failed.task:
            self.failed = None
        self._terminal.print(f"[bold]{task}[/] started{again}")

    def _finish(self, attempt: Attempt, exit_code: int) -> None:
        self._attempt = None
        attempt.exit_code = exit_code
        word = "[red]failed[/]" if exit_code else "[green]done[/]"
        if exit_code and not self.failed:  # notify runs after a failure and must not hide it
            self.failed = attempt
        self._terminal.print(f"[bold]{attempt.task}[/] {word} in {time.monotonic() - attempt.started:.1f} s")


def _how_it_ended(exit_code: int) -> str:
    """Says it in words, of a shell's exit code."""
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(exit_code - 128).name}"
    return f"failed with exit code {exit_code}"
