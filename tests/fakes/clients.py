"""Clients in processes of their own, that a fake server can kill in the middle of a request.

With `forking(*PRELOADED)` both platforms' clients are imported once, and each client is a fork of that.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable

from pipeline.platforms.opening import open_platform
from pipeline.platforms.submission import renamed
from pipeline.platforms.watching import cancel_run
from pipeline.schedules import converge
from tests.fakes.remotes import declared, environment_at, submission

PRELOADED = ("pipeline.platforms.kfp", "pipeline.platforms.vertex", "tests.fakes.clients")
TASKS: dict[str, Callable[[str, str], object]] = {}


def task(function: Callable[[str, str], object]) -> Callable[[str, str], object]:
    """Registers what a client process can do, by name; it is given the platform's kind and url."""
    TASKS[function.__name__] = function
    return function


@task
def apply_first(kind: str, url: str) -> object:
    return converge.apply(_platform(kind, url), declared(kind), _quiet)


@task
def apply_changed(kind: str, url: str) -> object:
    return converge.apply(_platform(kind, url), declared(kind, epochs=2), _quiet)


@task
def apply_disabled(kind: str, url: str) -> object:
    return converge.apply(_platform(kind, url), declared(kind, epochs=2, enabled=False), _quiet)


@task
def pause(kind: str, url: str) -> object:
    return converge.pause(_platform(kind, url), "nightly", _quiet)


@task
def resume(kind: str, url: str) -> object:
    return converge.resume(_platform(kind, url), "nightly", _quiet, catch_up=False)


@task
def delete(kind: str, url: str) -> object:
    return converge.delete(_platform(kind, url), "nightly", _quiet)


@task
def apply_others(kind: str, url: str) -> object:
    platform = _platform(kind, url)
    return [converge.apply(platform, declared(kind, name), _quiet) for name in ("hourly", "weekly")]


@task
def prune(kind: str, url: str) -> object:
    return converge.prune(_platform(kind, url), {"nightly"}, _quiet)


@task
def run_now(kind: str, url: str) -> object:
    environment = environment_at(kind, url)
    sent = renamed(environment, declared(kind).submission, "nightly 2026-11-24T02:30:00+00:00")
    return open_platform(environment).submit(sent)


@task
def submit(kind: str, url: str) -> object:
    return _platform(kind, url).submit(submission())


@task
def cancel(kind: str, url: str) -> object:
    """As the command does it: what counts is the state that the run has afterwards."""
    platform = _platform(kind, url)
    [run] = platform.runs(limit=10)
    return cancel_run(platform, run.run_id)


def _platform(kind: str, url: str):  # type: ignore[no-untyped-def]  # the two platforms have no common class
    return open_platform(environment_at(kind, url))


def _quiet(_: str) -> None:
    """Nobody reads what a client that is about to die reports."""


class Client:
    """One process that does one task; `kill` may be called by the server while it waits for an answer."""

    def __init__(self, name: str, kind: str, url: str) -> None:
        self._is_started = threading.Event()
        context = multiprocessing.get_context("forkserver")
        self._process = context.Process(target=_work, args=(name, kind, url))

    def start(self) -> None:
        self._process.start()
        self._is_started.set()

    def run(self) -> int:
        """Does the task; returns the exit code, a negative one for the signal that ended it."""
        self.start()
        return self.end()

    def end(self) -> int:
        """Waits for the end and returns the exit code."""
        self._process.join(timeout=60)
        code = self._process.exitcode
        assert code is not None
        return code

    def kill(self) -> None:
        assert self._is_started.wait(timeout=60)
        assert self._process.pid
        os.kill(self._process.pid, signal.SIGKILL)


def _work(name: str, kind: str, url: str) -> None:
    TASKS[name](kind, url)
