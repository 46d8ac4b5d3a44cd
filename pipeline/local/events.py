"""What a task's process says about itself, in lines of its own among those of the task.

KFP's local runner passes both on; what it says itself is not needed, so its wording may change.

    [task] train: started
    [task] train: asked to stop by SIGTERM
    [task] train: ended with exit code 75
"""

import dataclasses
import enum
import re


class Kind(enum.StrEnum):
    """What has happened to a task, in the words of its line."""

    STARTED = "started"
    SKIPPED = "not started, stopped by"
    STOPPING = "asked to stop by"
    ENDED = "ended with exit code"


@dataclasses.dataclass(frozen=True)
class Event:
    """One such line; `detail` is the signal's name, or the exit code."""

    task: str
    kind: Kind
    detail: str = ""

    def line(self) -> str:
        """Returns the line that tells it."""
        return f"[task] {self.task}: {self.kind} {self.detail}".rstrip()


_LINE = re.compile(rf"\[task\] (\S+): ({'|'.join(Kind)})(?: (.*))?")


def read(line: str) -> Event | None:
    """Returns the event that a line tells, None if it is one of the task's own."""
    found = _LINE.fullmatch(line)
    return Event(found[1], Kind(found[2]), found[3] or "") if found else None
