"""Reads what the KFP local runner prints, keeps all of it, and shows a person the part that matters."""

import contextlib
import io
import re
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

from rich.console import Console

from components.errors import ERRORS, PipelineError, RetryableError

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"INFO - Executing task '([^']+)'")
_FINISHED = re.compile(r"Task '([^']+)' finished with status (SUCCESS|FAILURE)")
_ERROR = re.compile(rf"({'|'.join(ERRORS)}): (.*)")
_TASK_LINE = "    "  # KFP indents what a task prints
# What the frameworks say about themselves: kept in run.log, of no use on the terminal.
_NOISE = re.compile(r"\[KFP Executor|^[WIEF]0000 |^WARNING: All log messages before absl|^\s*$")
_INPUT_DUMP = ("Got executor_input:", "}")  # KFP's executor prints its input as many lines of JSON


class RunLog(io.TextIOBase):
    """A stdout for KFP's local runner: everything goes to `path`, the gist to the terminal.

    Attributes:
      started: names of the tasks that were started.
      failed_task: the task that failed for good, "" while there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: set[str] = set()
        self.failed_task = ""
        self._error: tuple[str, str] | None = None  # of the task that is running
        self._failure: tuple[str, str] | None = None  # of failed_task
        self._line = ""
        self._interrupted = False
        self._in_task = self._in_dump = False
        self._task_started = 0.0
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)  # before it is taken over
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

    @contextlib.contextmanager
    def waiting_for_the_task(self) -> Iterator[None]:
        """Leaves a first Ctrl-C to the running task, which saves what it has; a second one ends this too."""

        def take(_number: int, _frame: FrameType | None) -> None:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True
            self._console.print("[bold]interrupted[/]: waiting for the task to save; Ctrl-C again to give up")

        before = signal.signal(signal.SIGINT, take)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

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
            self._read(_ANSI.sub("", line))
        return len(text)

    def error(self) -> PipelineError:
        """Returns the failed task's own error; where it left none, a pointer to its log."""
        if self._failure is None and self._interrupted:
            return RetryableError(f"{self.failed_task}: interrupted")
        if self._failure is None:
            return PipelineError(f"{self.failed_task} failed without an error line; see {self.path}")
        kind, message = self._failure
        return ERRORS[kind](f"{self.failed_task}: {message}")

    def _read(self, line: str) -> None:
        if started := _STARTED.search(line):
            self._start(started[1])
        elif finished := _FINISHED.search(line):
            self._finish(finished[1], finished[2] == "SUCCESS")
        elif self._in_task and line.startswith(_TASK_LINE):
            self._read_task_line(line.removeprefix(_TASK_LINE))

    def _read_task_line(self, line: str) -> None:
        first, last = _INPUT_DUMP
        if self._in_dump or line.endswith(first):
            self._in_dump = line != last
        elif error := _ERROR.fullmatch(line):
            self._error = (error[1], error[2])
        elif not _NOISE.search(line):
            self._console.print(f"  {line}", style="dim", markup=False)

    def _start(self, task: str) -> None:
        if self._interrupted and task == self.failed_task:
            raise KeyboardInterrupt  # not once more, whatever the retries
        again = " again" if task in self.started else ""
        self.started.add(task)
        self._in_task, self._in_dump, self._task_started = True, False, time.monotonic()
        self._error = None
        if task == self.failed_task:
            self.failed_task, self._failure = "", None
        self._console.print(f"[bold]{task}[/] started{again}")

    def _finish(self, task: str, succeeded: bool) -> None:
        seconds = time.monotonic() - self._task_started
        self._in_task = False
        word = "[green]done[/]" if succeeded else "[red]failed[/]"
        if not succeeded and not self.failed_task:  # notify runs after a failure and must not hide it
            self.failed_task, self._failure = task, self._error
        self._console.print(f"[bold]{task}[/] {word} in {seconds:.1f} s")
