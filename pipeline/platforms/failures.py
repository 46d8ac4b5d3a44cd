"""Why a task failed, in its own words where they can be had, and whether a new run would go on from there."""

import re

from pipeline.platforms.platform import Run, one_line

_ERROR_LINE = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b.*")
_LAST_LINES = 50  # the launcher writes some after the task's own
# What decides, first match first. A platform's codes are only numbers, so the names of our errors come before
# them.
_SIGNS = (
    (r"\b(RetryableError|StorageError)\b", True),
    (r"\b\w+(Error|Exception)\b:", False),
    (r"OOMKilled", False),
    (
        r"(exit code|non-zero status of|exit status) (75|5|1[2-9]\d|2\d\d)\b",
        True,
    ),  # ours, or killed by a signal
    (r"(exit code|non-zero status of|exit status) \d+", False),
    (r"pod deleted|evict|preempt|node (was|is|shut|lost)|NodeLost|deadline|Max duration limit", True),
    (r"\b(ABORTED|UNAVAILABLE|INTERNAL|RESOURCE_EXHAUSTED|DEADLINE_EXCEEDED)\b", True),
)


def error_line(log: str) -> str:
    """Returns the last line of a task's log that names an error, "" if its end has none."""
    lines = [line.strip() for line in log.splitlines()[-_LAST_LINES:]]
    return next((one_line(line) for line in reversed(lines) if _ERROR_LINE.fullmatch(line)), "")


def was_killed(message: str) -> bool:
    """Whether something outside ended a container: then its log says nothing about why."""
    code = re.search(r"exit code (\d+)", message)
    return int(code[1]) >= 128 if code else bool(message)


def is_resumable(run: Run) -> bool:
    """Whether a failed run ended in a way that the same run, started anew, has a chance to go on from.

    Interrupted, evicted, out of time, or its bucket did not answer. Not: a wrong parameter, damaged data, a
    closed gate, too little memory or a bug, which would only happen again; nor what nobody gives a reason
    for.
    """
    reasons = [task.reason for task in run.tasks if task.state == "FAILED"] or [run.error]
    return run.state == "FAILED" and all(_says_so(reason) for reason in reasons)


def _says_so(reason: str) -> bool:
    return next((verdict for sign, verdict in _SIGNS if re.search(sign, reason, re.IGNORECASE)), False)
