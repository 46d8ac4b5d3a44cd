"""Watches a run until it ends, and turns its end into an exit code."""

import time
from collections.abc import Callable

from components.errors import PipelineError
from pipeline.platforms.platform import FINAL_STATES, NoAnswerError, Platform, Run, Task, repeatedly

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
    for task in (*run.tasks, Task("run", run.state)):
        said = described(task)
        if seen.get(task.name) != said:
            seen[task.name] = said
            report(f"{task.name:<12} {said}")


def described(task: Task) -> str:
    """Returns a task's state with what is worth knowing of its attempts and its failure."""
    attempt = f", attempt {task.attempts}" if task.attempts > 1 else ""
    return f"{task.state}{attempt}{f': {task.reason}' if task.reason else ''}"


def cancel_run(platform: Platform, run_id: str) -> str:
    """Cancels a run that has not ended; returns the state that it has afterwards, asked again if unanswered.

    What counts is that state: a gateway may have answered in the platform's place.
    """

    def cancel() -> str:
        state = platform.run(run_id).state
        if state in FINAL_STATES or state.startswith("CANCEL"):
            return state
        platform.cancel(run_id)
        return platform.run(run_id).state

    return repeatedly(cancel)


def check_succeeded(run: Run) -> None:
    """Raises RunFailedError or RunCanceledError unless the run has succeeded."""
    if run.state == "CANCELED":
        raise RunCanceledError(f"run {run.run_id}: canceled; {run.url}")
    if run.state != "SUCCEEDED":
        raise RunFailedError(f"run {run.run_id}: {run.state.lower()}{_where_and_why(run)}; {run.url}")


def _where_and_why(run: Run) -> str:
    failed = [task for task in run.tasks if task.state == "FAILED"]
    places = ", ".join(task.name for task in failed)
    reasons = "; ".join(dict.fromkeys(task.reason for task in failed if task.reason)) or run.error
    return f"{f' at {places}' if places else ''}{f': {reasons}' if reasons else ''}"
