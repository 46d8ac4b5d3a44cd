"""Declared schedules made true on a platform: look, do the next step, look again.

Every step is decided by what the platform holds at that moment and by nothing else, so that an apply that was
killed anywhere is finished by the next one, and a second apply changes nothing.
"""

import dataclasses
import enum
import time
from collections.abc import Callable, Sequence, Set

from components.errors import UsageError
from pipeline.platforms.platform import (
    PAUSES,
    DeclaredSchedule,
    NoAnswerError,
    NotFoundError,
    Platform,
    StoredSchedule,
)

_STEPS = 50  # an apply takes three or four; more are needed only to clear away what others have made


class Verb(enum.StrEnum):
    """What one step does."""

    CREATE = "create"
    PAUSE = "pause"
    RESUME = "resume"
    DELETE = "delete"


@dataclasses.dataclass(frozen=True)
class Step:
    """One change; `stored` is None for CREATE, `enabled` says how that is created."""

    verb: Verb
    stored: StoredSchedule | None = None
    enabled: bool = False


def next_step(
    declared: DeclaredSchedule, stored: Sequence[StoredSchedule], *, creates_enabled: bool
) -> Step | None:
    """Returns what to do next, None when the platform holds what is declared.

    At no moment are two schedules of the name enabled: a new one replaces an enabled one while it is disabled
    itself, or, where it `creates_enabled`, after the old one was paused.

    Args:
      declared: as its file has it.
      stored: what the platform holds under its name, oldest first.
      creates_enabled: whether a new schedule fires from the start, whatever is asked for.
    """
    current = [row for row in stored if row.digest == declared.digest]
    others = [row for row in stored if row.digest != declared.digest]
    if not current:
        active = [row for row in others if row.enabled]
        if active and creates_enabled:
            return Step(Verb.PAUSE, active[0])
        return Step(Verb.CREATE, enabled=declared.enabled and not active)
    kept = _kept(current, enabled=declared.enabled)
    if surplus := [row for row in (*others, *current) if row is not kept]:
        return Step(Verb.DELETE, surplus[0])
    if kept.enabled != declared.enabled:
        return Step(Verb.RESUME if declared.enabled else Verb.PAUSE, kept)
    return None


def _kept(rows: Sequence[StoredSchedule], *, enabled: bool) -> StoredSchedule:
    """Returns which of several equal schedules stays: the oldest that needs no change, else the oldest."""
    return next((row for row in rows if row.enabled == enabled), rows[0])


def outcome(declared: DeclaredSchedule, stored: Sequence[StoredSchedule], *, creates_enabled: bool) -> str:
    """Returns in one word what apply does with a platform that holds `stored`."""
    step = next_step(declared, stored, creates_enabled=creates_enabled)
    if step is None:
        return "unchanged"
    if not stored:
        return "created"
    if step.verb in (Verb.PAUSE, Verb.RESUME) and step.stored and step.stored.digest == declared.digest:
        return "paused" if step.verb is Verb.PAUSE else "resumed"
    return "replaced"


def apply(platform: Platform, declared: DeclaredSchedule, report: Callable[[str], None]) -> str:
    """Makes the platform hold what is declared; returns created, unchanged, replaced, paused or resumed."""
    told: list[str] = []

    def decide(stored: Sequence[StoredSchedule]) -> Step | None:
        told.append(outcome(declared, stored, creates_enabled=platform.creates_enabled))
        return next_step(declared, stored, creates_enabled=platform.creates_enabled)

    def do(step: Step) -> None:
        report(f"{declared.name}: {step.verb}{f' {step.stored.schedule_id}' if step.stored else ''}")
        _do(platform, step, declared)

    _converge(lambda: _named(platform, declared.name), decide, do)
    return told[0]


def delete(platform: Platform, name: str, report: Callable[[str], None]) -> int:
    """Deletes every schedule of ours of that name; returns how many there were."""
    return _each(platform, name, lambda row: Step(Verb.DELETE, row), report)


def prune(platform: Platform, kept: Set[str], report: Callable[[str], None]) -> list[str]:
    """Deletes every schedule of ours whose name is not among `kept`; returns those names."""
    names = sorted({row.name for row in platform.schedules()} - kept)
    for name in names:
        delete(platform, name, report)
    return names


def pause(platform: Platform, name: str, report: Callable[[str], None]) -> int:
    """Pauses every enabled schedule of ours of that name; returns how many there were."""
    _known(platform, name)
    return _each(platform, name, lambda row: Step(Verb.PAUSE, row) if row.enabled else None, report)


def resume(platform: Platform, name: str, report: Callable[[str], None], *, catch_up: bool) -> bool:
    """Lets the schedule of that name fire again; returns whether it was paused.

    Raises:
      UsageError: there is none, or there are different ones, of which apply has to choose.
    """
    rows = _known(platform, name)
    if len({row.digest for row in rows}) > 1:
        raise UsageError(
            f"{name}: the platform holds several schedules of this name; run `schedule apply` first"
        )

    def decide(stored: Sequence[StoredSchedule]) -> Step | None:
        if not stored:
            return None  # somebody deleted it meanwhile
        kept = _kept(stored, enabled=True)
        if surplus := [row for row in stored if row is not kept]:
            return Step(Verb.DELETE, surplus[0])  # what resuming has replaced
        return None if kept.enabled else Step(Verb.RESUME, kept)

    _settle(platform, name, decide, report, catch_up=catch_up)
    return not any(row.enabled for row in rows)


def _known(platform: Platform, name: str) -> list[StoredSchedule]:
    rows = _named(platform, name)
    if not rows:
        known = sorted({row.name for row in platform.schedules()})
        raise UsageError(
            f"{name}: the platform holds no such schedule of ours; it holds: {', '.join(known) or 'none'}"
        )
    return rows


def _named(platform: Platform, name: str) -> list[StoredSchedule]:
    return [row for row in platform.schedules() if row.name == name]


def _each(
    platform: Platform,
    name: str,
    step_for: Callable[[StoredSchedule], Step | None],
    report: Callable[[str], None],
) -> int:
    """Does `step_for` each row until no row asks for one; returns how many asked at first."""

    def decide(stored: Sequence[StoredSchedule]) -> Step | None:
        return next((step for row in stored if (step := step_for(row))), None)

    asked = sum(1 for row in _named(platform, name) if step_for(row))
    _settle(platform, name, decide, report)
    return asked


def _settle(
    platform: Platform,
    name: str,
    decide: Callable[[Sequence[StoredSchedule]], Step | None],
    report: Callable[[str], None],
    *,
    catch_up: bool = False,
) -> None:
    """Does what `decide` says about the schedules of that name until it says nothing."""

    def do(step: Step) -> None:
        report(f"{name}: {step.verb} {step.stored.schedule_id if step.stored else ''}")
        _do(platform, step, None, catch_up=catch_up)

    _converge(lambda: _named(platform, name), decide, do)


def _converge(
    look: Callable[[], Sequence[StoredSchedule]],
    decide: Callable[[Sequence[StoredSchedule]], Step | None],
    do: Callable[[Step], None],
) -> None:
    """Looks, decides and does until nothing is left to do.

    A step that was not answered is looked at again; so is one on a schedule that somebody else has just
    deleted.

    Raises:
      NoAnswerError, NotFoundError: PAUSES is used up.
      StorageError: the platform refused.
    """
    pauses = iter(PAUSES)
    for _ in range(_STEPS):
        step = decide(look())
        if step is None:
            return
        try:
            do(step)
        except (NoAnswerError, NotFoundError):
            pause_seconds = next(pauses, None)
            if pause_seconds is None:
                raise
            time.sleep(pause_seconds)
    raise UsageError(f"not settled after {_STEPS} steps: something else keeps changing these schedules")


def _do(platform: Platform, step: Step, declared: DeclaredSchedule | None, *, catch_up: bool = False) -> None:
    if step.stored is None:
        assert declared is not None
        platform.create_schedule(declared, enabled=step.enabled)
    elif step.verb is Verb.DELETE:
        platform.delete_schedule(step.stored)
    else:
        catch_up = declared.catch_up if declared else catch_up
        platform.set_enabled(step.stored, step.verb is Verb.RESUME, catch_up=catch_up)
