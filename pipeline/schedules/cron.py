"""Five-field cron expressions: read once, checked, and written as each target reads them.

    parse("30 2 * * MON").fire_times(ZoneInfo("Europe/Paris"), now)  # 02:30 on Mondays, Paris time

Kubeflow Pipelines wants six fields, seconds first, and takes five in silence: `0 2 * * *` would fire hourly
at minute 2. Vertex AI wants five and the zone in front. What cron readers disagree on is refused.
"""

import dataclasses
import datetime
import difflib
import functools
import itertools
import re
import zoneinfo
from collections.abc import Iterator

from components.errors import UsageError

_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {"SUN": 0, "MON": 1, "TUE": 2, "WED": 3, "THU": 4, "FRI": 5, "SAT": 6}
_LONGEST_MONTH = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 6, _WEEKDAYS),
)
_PART = re.compile(r"(?P<any>\*)?(?:(?P<first>\d+)(?:-(?P<last>\d+))?)?(?:/(?P<step>\d+))?", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Cron:
    """A checked five-field expression; names are already numbers, Sunday is 0."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @property
    def _restricts_days(self) -> bool:
        return not self.text.split()[2].startswith("*")

    @property
    def _restricts_weekdays(self) -> bool:
        return not self.text.split()[4].startswith("*")

    def falls_on(self, day: datetime.date) -> bool:
        """True if the expression fires on that day; day of month *or* weekday when both are given."""
        if day.month not in self.months:
            return False
        on_day, on_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self._restricts_days and self._restricts_weekdays:
            return on_day or on_weekday
        return on_day and on_weekday

    def never_fires(self) -> bool:
        """True for a day that no chosen month has, such as 30 February."""
        return not self._restricts_weekdays and all(
            day > _LONGEST_MONTH[month] for day, month in itertools.product(self.days, self.months)
        )

    def is_frequent(self) -> bool:
        """True if two fire times can be less than an hour apart."""
        return len(self.minutes) > 1

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
        day = after.astimezone(zone).date()
        while not self.never_fires():
            if self.falls_on(day):
                yield from (instant for instant in self._instants(day, zone) if instant > after)
            day += datetime.timedelta(days=1)

    def _instants(self, day: datetime.date, zone: zoneinfo.ZoneInfo) -> list[datetime.datetime]:
        """Returns the day's fire times in the order in which they pass."""
        walls = (
            datetime.datetime.combine(day, datetime.time(*at))
            for at in itertools.product(self.hours, self.minutes)
        )
        instants = {
            instant.astimezone(datetime.UTC)
            for wall, fold in itertools.product(walls, (0, 1))
            if _exists(instant := wall.replace(tzinfo=zone, fold=fold))
        }
        return [instant.astimezone(zone) for instant in sorted(instants)]


def _exists(instant: datetime.datetime) -> bool:
    """False for a wall time that the zone's clock skips."""
    there_and_back = instant.astimezone(datetime.UTC).astimezone(instant.tzinfo)
    return there_and_back.replace(tzinfo=None) == instant.replace(tzinfo=None)


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

    def refused(reason: str) -> UsageError:
        return UsageError(f"{where}={text!r}: {reason}")

    fields = text.split()
    if len(fields) != len(_FIELDS):
        names = ", ".join(name for name, *_ in _FIELDS)
        raise refused(f"must have five fields ({names}), not {len(fields)}")
    numbers = [_named(field, names) for field, (*_, names) in zip(fields, _FIELDS, strict=True)]
    values = []
    for field, (name, low, high, _) in zip(numbers, _FIELDS, strict=True):
        try:
            values.append(_values(field, low, high))
        except ValueError as error:
            raise refused(f"{name} {field!r} {error}") from None
    cron = Cron(" ".join(numbers), *values)
    stepped, other = _stepped_star(numbers[2], numbers[4]), {numbers[2], numbers[4]}
    if stepped and "*" not in other:
        raise refused(
            f"{stepped!r} beside another day restriction means *and* to one target and *or* to the other"
        )
    if cron.never_fires():
        raise refused("never fires: no chosen month has that day")
    if cron.is_frequent() and not allow_frequent:
        raise refused("fires more often than hourly; set allow_frequent: true if that is meant")
    return cron


def _stepped_star(*fields: str) -> str | None:
    return next((field for field in fields if "*/" in field), None)


def _named(field: str, names: dict[str, int]) -> str:
    """Returns the field with JAN..DEC or SUN..SAT as numbers; an unknown word is left for the range check."""
    return re.sub(r"[A-Za-z]+", lambda word: str(names.get(word[0].upper(), word[0])), field)


def _values(field: str, low: int, high: int) -> tuple[int, ...]:
    """Returns the sorted values of one field.

    Raises:
      ValueError: what is wrong with it, for the end of a sentence.
    """
    found: set[int] = set()
    for part in field.split(","):
        found.update(_part_values(part, low, high))
    if "*" in field and field.count(","):
        raise ValueError("mixes * with other values")
    return tuple(sorted(found))


def _part_values(part: str, low: int, high: int) -> range:
    match = _PART.fullmatch(part)
    if match is None or bool(match["any"]) == bool(match["first"]):
        raise ValueError(f"must be *, numbers from {low} to {high}, ranges or steps")
    first = low if match["any"] else int(match["first"])
    last = high if match["any"] else int(match["last"] or first)
    if not low <= first <= high or not low <= last <= high:
        raise ValueError(f"must be from {low} to {high}" + (" (Sunday is 0)" if high == 6 else ""))
    if last < first:
        raise ValueError("is a range that ends before it starts")
    if match["step"] is None:
        return range(first, last + 1)
    step = int(match["step"])
    if first == last:
        raise ValueError("steps from a single value; write a range before the step")
    if not 1 <= step <= last - first:
        raise ValueError(f"must step by 1 to {last - first}")
    return range(first, last + 1, step)


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
