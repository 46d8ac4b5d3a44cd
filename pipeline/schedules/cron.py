"""Five-field cron expressions: read once, checked, and written as each target reads them.

    parse("30 2 * * MON").fire_times(ZoneInfo("Europe/Paris"), now)  # 02:30 on Mondays, Paris time

Kubeflow Pipelines wants six fields, seconds first, and takes five in silence: `0 2 * * *` would fire hourly
at minute 2. Vertex AI wants five and the zone in front. What cron readers disagree on is refused.
"""

import datetime
import difflib
import functools
import heapq
import itertools
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass

from cronsim import CronSim, CronSimError

from components.errors import UsageError

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("weekday", 0, 6, {name: number for number, name in enumerate(_WEEKDAYS)}),
)
# What every reader takes alike: no L, #, ?, no * beside other values, no step from a single one.
_NUMBERS = r"\d+(-\d+(/\d+)?)?"
_FORM = re.compile(rf"\*(/\d+)?|{_NUMBERS}(,{_NUMBERS})*", re.ASCII)
_ANY_TIME = datetime.datetime(2000, 1, 1)  # noqa: DTZ001  # wall time, for what holds whenever one starts
_DAY = datetime.timedelta(days=1)  # no clock was ever moved by more


@dataclass(frozen=True)
class Cron:
    """A checked five-field expression, which is its own text: names are already numbers, Sunday is 0."""

    text: str

    def is_frequent(self) -> bool:
        """True if two fire times can be less than an hour apart."""
        return len(CronSim(self.text, _ANY_TIME).minutes) > 1

    def for_kfp(self) -> str:
        """Six fields: at second 0. The zone is the cluster's and cannot be written here."""
        return f"0 {self.text}"

    def for_vertex(self, zone: str) -> str:
        """Five fields behind their time zone."""
        return f"TZ={zone} {self.text}"

    def fire_times(self, zone: zoneinfo.ZoneInfo, after: datetime.datetime) -> Iterator[datetime.datetime]:
        """Yields the fire times later than `after`, in `zone`, for ever.

        As robfig/cron does: a wall time that the clock skips in spring is skipped, one that it shows twice in
        autumn fires twice.

        Args:
          zone: where the expression's wall clock hangs.
          after: an aware datetime.
        """
        fired = self._instants(zone, after, reverse=False)
        return (instant.astimezone(zone) for instant in fired if instant > after)

    def latest_fire_time(self, zone: zoneinfo.ZoneInfo, until: datetime.datetime) -> datetime.datetime:
        """Returns the last fire time that is not later than `until`, in `zone`."""
        fired = self._instants(zone, until, reverse=True)
        return next(instant.astimezone(zone) for instant in fired if instant <= until)

    def _instants(
        self, zone: zoneinfo.ZoneInfo, moment: datetime.datetime, *, reverse: bool
    ) -> Iterator[datetime.datetime]:
        """Yields, in UTC and in order, the fire times from a day on the near side of `moment` on.

        First showings of the wall times are in order, and so are second ones; most are the same instant.
        """
        start = _wall(moment, zone) + (_DAY if reverse else -_DAY)
        showings = (self._showings(zone, start, fold, reverse=reverse) for fold in (0, 1))
        return (instant for instant, _ in itertools.groupby(heapq.merge(*showings, reverse=reverse)))

    def _showings(
        self, zone: zoneinfo.ZoneInfo, start: datetime.datetime, fold: int, *, reverse: bool
    ) -> Iterator[datetime.datetime]:
        """Yields when the zone's clock shows each wall time for the first (fold 0) or last (fold 1) time.

        cronsim names wall times only: left to itself it does on clock changes what Debian's cron does.
        """
        for wall in CronSim(self.text, start, reverse):
            instant = wall.replace(tzinfo=zone, fold=fold).astimezone(datetime.UTC)
            if _wall(instant, zone) == wall:  # else the clock skips it
                yield instant


def _wall(instant: datetime.datetime, zone: zoneinfo.ZoneInfo) -> datetime.datetime:
    """Returns what the zone's clock shows."""
    return instant.astimezone(zone).replace(tzinfo=None)


def parse(text: str, *, where: str = "cron", allow_frequent: bool = False) -> Cron:
    """Reads a five-field cron expression.

    Args:
      text: minute, hour, day of month, month, weekday; lists, ranges, steps and English names.
      where: the file and key that an error should name.
      allow_frequent: accept more than one fire time an hour.

    Raises:
      UsageError: not five fields, a value outside its range, never fires, fires more often than hourly, or
        the targets would read it differently.
    """
    reason = _refusal(text.split(), allow_frequent=allow_frequent)
    if reason:
        raise UsageError(f"{where}={text!r}: {reason}")
    return Cron(" ".join(_numbers(text.split())))


def _refusal(words: list[str], *, allow_frequent: bool) -> str | None:
    """Returns why these fields are not accepted."""
    if len(words) != len(_FIELDS):
        names = ", ".join(name for name, *_ in _FIELDS)
        return f"must have five fields ({names}), not {len(words)}"
    fields = _numbers(words)
    for field, (name, low, high, _) in zip(fields, _FIELDS, strict=True):
        if wrong := _wrong_in(field, low, high):
            return f"{name} {field!r} {wrong}"
    stepped = next((field for field in (fields[2], fields[4]) if "*/" in field), None)
    if stepped and "*" not in (fields[2], fields[4]):
        return f"{stepped!r} beside another day restriction means *and* to one target and *or* to the other"
    try:
        CronSim(" ".join(fields), _ANY_TIME)
    except CronSimError as error:  # of what has passed so far it refuses nothing else
        return f"never fires: no chosen month has that day ({error})"
    if Cron(" ".join(fields)).is_frequent() and not allow_frequent:
        return "fires more often than hourly; set allow_frequent: true if that is meant"
    return None


def _numbers(words: list[str]) -> list[str]:
    """Returns the fields with JAN..DEC and SUN..SAT as numbers; an unknown word is left to be refused."""
    return [_numbered(word, names) for word, (*_, names) in zip(words, _FIELDS, strict=True)]


def _numbered(field: str, names: dict[str, int]) -> str:
    return re.sub(r"[A-Za-z]+", lambda word: str(names.get(word[0].upper(), word[0])), field)


def _wrong_in(field: str, low: int, high: int) -> str | None:
    """Returns what is wrong with one field, for the end of a sentence."""
    if not _FORM.fullmatch(field):
        return f"must be *, */step, or numbers from {low} to {high} and ranges of them, as in 1,3-5 or 2-6/2"
    for part in field.split(","):
        values, _, step = part.partition("/")
        first, last = (low, high) if values == "*" else _ends(values)
        if not low <= first <= high or not low <= last <= high:
            return f"must be from {low} to {high}" + (" (Sunday is 0)" if high == 6 else "")
        if last < first:
            return "is a range that ends before it starts"
        if step and not 1 <= int(step) <= last - first:
            return f"must step by 1 to {last - first}"
    return None


def _ends(values: str) -> tuple[int, int]:
    first, _, last = values.partition("-")
    return int(first), int(last or first)


@functools.cache
def _known_zones() -> set[str]:
    return zoneinfo.available_timezones()  # reads a thousand files


def zone_named(name: str, *, where: str = "time_zone") -> zoneinfo.ZoneInfo:
    """Returns an IANA time zone.

    Raises:
      UsageError: `name` is not in the time zone database; the message offers close ones.
    """
    known = _known_zones()
    if name not in known:
        close = difflib.get_close_matches(name, sorted(known), n=3)
        hint = f"; close to it: {', '.join(close)}" if close else ""
        raise UsageError(f"{where}={name!r}: not an IANA time zone such as Europe/Paris or UTC{hint}")
    return zoneinfo.ZoneInfo(name)
