"""Watches a run until it ends, and turns its end into an exit code."""

import time
from collections.abc import Callable

from components.errors import PipelineError
from pipeline.platforms.platform import FINAL_STATES, NoAnswerError, Platform, Run

SILENCE_SECONDS = 600.0  # how long a platform may be silent before waiting for it ends


class RunFailedError(PipelineError):
    """The run ended, and not with success."""

    exit_code = 10


class RunCanceledError(PipelineError):
    """Somebody canceled the run."""

    exit_code = 11


class WaitTimeoutError(PipelineError):
    """The run had not ended when the time to wait was over; it goes on."""

    exit_code = 12


def watch(
    platform: Platform,
    run_id: str,
    report: Callable[[str], None],
    *,
    timeout_seconds: float,
    poll_seconds: float,
) -> Run:
    """Reports each change of a task's state until the run has ended.

    Returns:
      The run in its final state.

    Raises:
      WaitTimeoutError: it has not ended in time.
      StorageError: the platform refused, or was silent for SILENCE_SECONDS.
    """
    deadline = time.monotonic() + timeout_seconds
    heard = time.monotonic()
    seen: dict[str, str] = {}
    while True:
        try:
            run = platform.run(run_id)
        except NoAnswerError as error:
            if time.monotonic() - heard > SILENCE_SECONDS:
                raise
            report(f"no answer, still waiting: {error}")
        else:
            heard = time.monotonic()
            _report_changes(run, seen, report)
            if run.state in FINAL_STATES:
                return run
        left = deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeoutError(f"run {run_id}: not ended after {timeout_seconds:g} s; it goes on")
        time.sleep(min(poll_seconds, left))


def _report_changes(run: Run, seen: dict[str, str], report: Callable[[str], None]) -> None:
    for name, state in (*run.tasks, ("run", run.state)):
        if seen.get(name) != state:
            seen[name] = state
            report(f"{name:<12} {state}")


def check_succeeded(run: Run) -> None:
    """Raises RunFailedError or RunCanceledError unless the run has succeeded."""
    failed = ", ".join(name for name, state in run.tasks if state == "FAILED")
    if run.state == "CANCELED":
        raise RunCanceledError(f"run {run.run_id}: canceled; {run.url}")
    if run.state != "SUCCEEDED":
        reason = (
            f"{run.state.lower()}{f' at {failed}' if failed else ''}{f': {run.error}' if run.error else ''}"
        )
        raise RunFailedError(f"run {run.run_id}: {reason}; {run.url}")
