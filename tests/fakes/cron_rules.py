"""Which cron expressions each platform's server accepts."""

import datetime
import functools
import re
import zoneinfo

from tests.fakes.loopback import RefusedError

_FIVE = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_SECONDS = (0, 59)
_zones = functools.cache(zoneinfo.available_timezones)


def check_for_kfp(text: str) -> None:
    """Refuses what `robfig/cron` version 1 refuses; five fields pass, and mean seconds first."""
    fields = text.split()
    if not 5 <= len(fields) <= 6:
        raise RefusedError(
            400, f"Schedule cron is not a valid cron expression: expected 5 to 6 fields, found {text!r}"
        )
    for field, (low, high) in zip(fields, (_SECONDS, *_FIVE), strict=False):
        for part in field.split(","):
            match = re.fullmatch(r"(?:[*?]|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
            bounds = [int(number) for number in match.groups()[:2] if number] if match else []
            if match is None or any(not low <= bound <= high for bound in bounds) or bounds != sorted(bounds):
                raise RefusedError(400, f"Schedule cron is not a valid cron expression: {part!r} in {text!r}")


def kfp_fire_times(text: str, since: datetime.datetime, until: datetime.datetime) -> list[datetime.datetime]:
    """Returns when a cron that passed `check_for_kfp` fires, after `since` and not after `until`."""
    seconds, *fields = [*text.split(), "*"][:6]
    minute = since.replace(second=0, microsecond=0)
    fired = []
    while minute <= until:
        values = (minute.minute, minute.hour, minute.day, minute.month, minute.isoweekday() % 7)
        if all(_matches(field, value) for field, value in zip(fields, values, strict=True)):
            fired += [minute.replace(second=second) for second in range(60) if _matches(seconds, second)]
        minute += datetime.timedelta(minutes=1)
    return [time for time in fired if since < time <= until]


def _matches(field: str, value: int) -> bool:
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        first = 0 if low in "*?" else int(low)
        last = int(high) if high else 59 if step or low in "*?" else first
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


def check_for_vertex(text: str) -> None:
    """Refuses what is not five fields, with an IANA time zone in front or none."""
    match = re.fullmatch(r"(?:(?:CRON_)?TZ=(\S+) )?(\S+(?: \S+){4})", text)
    if match is None or (match[1] and match[1] not in _zones()):
        raise RefusedError(400, f"invalid cron {text!r}")
    for field, (low, high) in zip(match[2].split(), _FIVE, strict=True):
        for part in field.split(","):
            parts = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/\d+)?", part)
            bounds = [int(number) for number in parts.groups() if number] if parts else []
            if parts is None or any(not low <= bound <= high for bound in bounds):
                raise RefusedError(400, f"invalid cron {text!r}: {part!r}")
