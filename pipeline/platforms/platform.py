"""What `submit`, `runs` and `schedule` ask of a platform, in words that both platforms share.

`open_platform(environment)` gives one. Its verbs may be repeated: a request whose answer got lost raises
NoAnswerError, and `repeatedly` looks again before it asks again.
"""

import dataclasses
import itertools
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from components.errors import StorageError

Result = TypeVar("Result")
Thing = TypeVar("Thing")

OWNER = "mnist-pipeline"
FINAL_STATES = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
PAUSES = (0.05, 0.5, 2.0, 5.0)  # seconds between attempts: a hiccup costs little, a dead platform 8 s


class NoAnswerError(StorageError):
    """The platform did not answer, or said `later`: what was asked may or may not have happened."""


class NotFoundError(StorageError):
    """The platform has no such run or schedule."""


@dataclasses.dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
      documents: the pipeline spec and, for KFP, its platform settings.
      version: names exactly this content: the code's git SHA and a digest of the documents.
      text: the documents as YAML.
    """

    documents: tuple[Mapping[str, Any], ...]
    version: str
    text: str


@dataclasses.dataclass(frozen=True)
class Submission:
    """A run to be. `run_name` is its identity: the platform never gets two of one name from here."""

    run_name: str
    package: Package
    parameters: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of the pipeline, not one of the platform's own.

    Attributes:
      state: PENDING, RUNNING, … or one of FINAL_STATES; SKIPPED for one that the run had no need of.
      attempts: how often it was started; 0 where it was not, or where the platform does not say.
      reason: why it failed, in its own words where the platform hands them on.
    """

    name: str
    state: str
    attempts: int = 0
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run as the platform describes it; `state` is PENDING, RUNNING, … or one of FINAL_STATES."""

    run_id: str
    name: str
    state: str
    url: str
    created_at: str = ""
    finished_at: str = ""
    tasks: tuple[Task, ...] = ()  # each once, those that were started first, in that order
    error: str = ""


@dataclasses.dataclass(frozen=True)
class DeclaredSchedule:
    """A schedule as its file declares it, ready to be sent.

    Attributes:
      digest: over everything that is sent; another digest means another schedule.
      cron: in the target's own form.
    """

    name: str
    digest: str
    cron: str
    max_concurrency: int
    catch_up: bool
    enabled: bool
    submission: Submission


@dataclasses.dataclass(frozen=True)
class StoredSchedule:
    """A schedule of ours that the platform holds."""

    schedule_id: str
    name: str
    digest: str
    cron: str
    enabled: bool
    created_at: str


class Platform(Protocol):
    """Kubeflow Pipelines or Vertex AI.

    Every method raises StorageError with one line when the platform refuses, NoAnswerError when it is silent.
    """

    creates_enabled: bool  # whatever is asked for, a new schedule fires from the moment it exists

    def check(self) -> None:
        """Raises if the platform cannot be reached, or does not know or permit the caller."""
        ...

    def submit(self, submission: Submission) -> tuple[Run, bool]:
        """Returns the run of that name and whether it is new."""
        ...

    def runs(self, limit: int) -> list[Run]:
        """Returns the newest runs first, without their tasks."""
        ...

    def run(self, run_id: str) -> Run:
        """Returns one run with its tasks."""
        ...

    def cancel(self, run_id: str) -> None:
        """Asks for the end of a run that has not ended."""
        ...

    def schedules(self) -> list[StoredSchedule]:
        """Returns the schedules that this environment owns, oldest first."""
        ...

    def create_schedule(self, declared: DeclaredSchedule, *, enabled: bool) -> None:
        """Creates a schedule; disabled, where the platform can, unless `enabled`."""
        ...

    def set_enabled(self, stored: StoredSchedule, enabled: bool, *, catch_up: bool) -> None:
        """Pauses or resumes; `catch_up` runs what a pause has missed, without it no missed time ever fires.

        Resuming may put another schedule of the same name and digest in the place of this one.
        """
        ...

    def delete_schedule(self, stored: StoredSchedule) -> None:
        """Deletes a schedule and lets its runs go on; one that is gone is no error."""
        ...


def repeatedly(action: Callable[[], Result]) -> Result:
    """Returns `action()`, asked again after each pause while there is no answer; it must be repeatable."""
    for pause in PAUSES:
        try:
            return action()
        except NoAnswerError:
            time.sleep(pause)
    return action()


def found_or_made(find: Callable[[], Thing | None], make: Callable[[], Thing]) -> tuple[Thing, bool]:
    """Returns what `find` finds, else what `make` makes, and whether it was made.

    Asked again when unanswered: what a lost acknowledgement has made is found by the next look.
    """

    def attempt() -> tuple[Thing, bool]:
        found = find()
        return (make(), True) if found is None else (found, False)

    return repeatedly(attempt)


def settled(tasks: Iterable[Task], run_state: str) -> tuple[Task, ...]:
    """Returns the tasks as they are once the run has ended: nothing waits or works any more."""
    if run_state not in FINAL_STATES:
        return tuple(tasks)
    ends = {"PENDING": "SKIPPED", "RUNNING": "CANCELED", "CANCELING": "CANCELED"}
    return tuple(dataclasses.replace(task, state=ends.get(task.state, task.state)) for task in tasks)


def numbered(names: Sequence[str]) -> list[str]:
    """Returns the names, with a number each where a loop has several of one: `train[0]`, `train[1]`."""
    counts = {name: itertools.count() for name in names}
    return [f"{name}[{next(counts[name])}]" if names.count(name) > 1 else name for name in names]


def network_trouble(error: Exception) -> str:
    """Returns what lies under the layers that HTTP clients wrap around a network error."""
    found = re.search(r"\[Errno -?\d+\] [^'\")]+|[\w ]*timed out|Remote end closed[\w ]*", str(error))
    return found[0].strip() if found else one_line(error)


def one_line(text: object, limit: int = 300) -> str:
    """Returns a server's words as one line of bounded length, without what would steer a terminal."""
    line = re.sub(r"\s+", " ", str(text)).strip()[:limit]
    return "".join(character if character.isprintable() else "?" for character in line)
