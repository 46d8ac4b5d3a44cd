"""What Argo makes of a compiled task's retry policy, as Kubeflow Pipelines' backend hands it on.

`backoffMaxDuration` becomes `backoff.maxDuration`, and that is no bound of one pause: it is counted from the
first attempt's start. A retry that would begin after it is not made ("Backoff would exceed max duration
limit"), one that begins before gets what is left of it as its deadline ("Max duration limit exceeded").
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One attempt, in seconds from the first one's start.

    Attributes:
      start: when it begins.
      may_last: how long it is let run; None for as long as it likes.
    """

    start: float
    may_last: float | None


def attempts(retry_policy: Mapping[str, Any], seconds: float) -> Iterator[Attempt]:
    """Yields the attempts of a task that is killed `seconds` after each of its starts."""
    whole = _seconds(retry_policy["backoffMaxDuration"])
    start = 0.0
    for number in range(retry_policy["maxRetryCount"] + 1):
        may_last = None if number == 0 else whole - start
        yield Attempt(start, may_last)
        pause = _seconds(retry_policy["backoffDuration"]) * retry_policy["backoffFactor"] ** number
        start += min(seconds, seconds if may_last is None else may_last) + pause
        if start > whole:
            return


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))
