"""What a benchmark says: one row per figure, with the samples of every round behind it."""

import dataclasses
import statistics
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A figure, or two of the same rounds and their ratio.

    Attributes:
      what: what was measured.
      values: one sample per round, in `unit`; none if it was skipped, and `note` says why.
      against: the baseline's name; empty if there is none.
      baseline: its samples, of the same rounds in the same order.
      is_speed: whether the ratio is baseline / value, how many times as fast; else it is value / baseline.
      at_least: what the ratio, or the value where there is no baseline, must reach; None for no goal.
      at_most: what it must not exceed.
      note: what a reader must know beside it.
    """

    what: str
    unit: str = "s"
    values: list[float] = dataclasses.field(default_factory=list)
    against: str = ""
    baseline: list[float] = dataclasses.field(default_factory=list)
    is_speed: bool = False
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """One per round."""
        pairs = zip(self.values, self.baseline, strict=True) if self.against else ()
        return [base / value if self.is_speed else value / base for value, base in pairs]

    @property
    def goal(self) -> str:
        """The goal in words; empty if there is none."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return f"≤ {self.at_most:g}" if self.at_most is not None else ""

    @property
    def is_met(self) -> bool | None:
        """Whether the median reaches the goal; None if there is no goal or nothing was measured."""
        if not self.values or not self.goal:
            return None
        reached = statistics.median(self.ratios or self.values)
        return (self.at_least is None or reached >= self.at_least) and (
            self.at_most is None or reached <= self.at_most
        )

    def to_json(self) -> dict[str, Any]:
        """Returns everything that is known of the row."""
        shown = {"ratios": self.ratios, "goal": self.goal, "is_met": self.is_met}
        return dataclasses.asdict(self) | shown


def skipped(what: str, why: str) -> list[Row]:
    """Returns the row that stands for what cannot be measured here."""
    return [Row(what=what, note=f"skipped: {why}")]


def spread(samples: list[float], unit: str = "") -> str:
    """Returns `median (min to max)`, to three digits."""
    if not samples:
        return ""
    median, low, high = (f"{value:.3g}" for value in (statistics.median(samples), min(samples), max(samples)))
    return f"{median} {unit}".rstrip() + (f" ({low} to {high})" if len(samples) > 1 else "")
