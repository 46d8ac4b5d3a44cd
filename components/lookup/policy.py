"""When to train, in words. Pure: what is known comes in, a decision and its reasons go out."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from components.lookup.settings import Settings


@dataclasses.dataclass(frozen=True)
class News:
    """What ingest tells of the data of this run.

    Attributes:
      train_rows: how many rows there are to fit on.
      batches: each batch's name and how far it drifted from the base dataset.
    """

    fingerprint: str
    train_rows: int
    batches: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Known:
    """What the bucket knows.

    Attributes:
      same: the published version of this data, code and settings; "" for none.
      champion_created: None where there is no champion.
      champion_rows: how many rows it was fitted on; None where its manifest does not say.
      champion_batches: the batches that it has seen.
      newest_created: of all published versions; None where there is none.
    """

    same: str
    champion_created: datetime.datetime | None
    champion_rows: int | None
    champion_batches: Sequence[str]
    newest_created: datetime.datetime | None


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether to train, and why, in words."""

    train: bool
    reason: str


def decide(settings: Settings, news: News, known: Known, now: datetime.datetime) -> Decision:
    """Decides by data, code, settings and time.

    Args:
      settings: the rules.
      news: this run's data.
      known: what was published.
      now: the run's time, UTC.
    """
    hours = _hours(known.newest_created, now)
    if settings.min_hours_between and hours is not None and hours < settings.min_hours_between:
        left = settings.min_hours_between - hours
        return Decision(
            False, f"the newest model is {hours:.1f} h old; {left:.1f} h more are needed (min_hours_between)"
        )
    if not settings.skip_unchanged:
        return Decision(True, "training in any case (skip_unchanged is off)")
    if known.same:
        return Decision(False, f"unchanged, published as {known.same[:12]}")
    if known.champion_created is None:
        return Decision(True, "training, for there is no champion")
    rules = _rules(settings, news, known, now)
    reached = [words for is_reached, words in rules if is_reached]
    if reached or not rules:
        return Decision(True, f"training, for {'; '.join(reached) or 'data, code or settings have changed'}")
    return Decision(False, f"changed, but {'; '.join(words for _, words in rules)}; one of them is needed")


def _rules(settings: Settings, news: News, known: Known, now: datetime.datetime) -> list[tuple[bool, str]]:
    """Returns each rule that is set: whether it is reached, and its figures in words."""
    rules = []
    if settings.min_new_rows:
        new_rows = news.train_rows - (known.champion_rows or 0)
        rules.append(
            (
                new_rows >= settings.min_new_rows,
                f"{new_rows} new training rows of {settings.min_new_rows} (min_new_rows)",
            )
        )
    if settings.retrain_drift:
        unseen = {name: far for name, far in news.batches.items() if name not in known.champion_batches}
        drift = max(unseen.values(), default=0.0)
        rules.append(
            (
                drift > settings.retrain_drift,
                f"drift {drift:.2f} in batches that the champion has not seen, {settings.retrain_drift:g} "
                "being the limit (retrain_drift)",
            )
        )
    if settings.max_age_days:
        days = (_hours(known.champion_created, now) or 0.0) / 24
        rules.append(
            (
                days > settings.max_age_days,
                f"the champion is {days:.1f} days old of {settings.max_age_days:g} (max_age_days)",
            )
        )
    return rules


def _hours(since: datetime.datetime | None, now: datetime.datetime) -> float | None:
    return None if since is None else (now - since).total_seconds() / 3600


def read_news(given: Mapping[str, Any]) -> News:
    """Reads what ingest wrote; KFP has made its numbers floats."""
    return News(
        fingerprint=str(given["fingerprint"]),
        train_rows=int(given["train_rows"]),
        batches={str(name): float(far) for name, far in given["batches"].items()},
    )
