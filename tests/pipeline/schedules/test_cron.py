"""The cron translation, judged by croniter and by hand over the days on which clocks change."""

import datetime
import itertools
import zoneinfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import UsageError
from pipeline.schedules import cron

# The same examples on every machine: a red suite then means a change.
PROPERTY = settings(max_examples=300, deadline=None, derandomize=True, database=None)
PARIS = zoneinfo.ZoneInfo("Europe/Paris")
ZONES = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Santiago",
]


def field(low: int, high: int, *, stepped: bool = True) -> st.SearchStrategy[str]:
    """A cron field: *, a value, a list, a range, a stepped range or a stepped star."""
    value = st.integers(low, high)
    pair = st.tuples(value, value).map(sorted).filter(lambda ends: ends[0] < ends[1])
    one = [
        st.just("*"),
        value.map(str),
        st.lists(value, min_size=2, max_size=4, unique=True).map(lambda values: ",".join(map(str, values))),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
    ]
    steps = [
        st.tuples(pair, st.integers(1, 9)).map(
            lambda v: f"{v[0][0]}-{v[0][1]}/{min(v[1], v[0][1] - v[0][0])}"
        ),
        st.integers(2, min(9, high - low)).map(lambda step: f"*/{step}"),
    ]
    return st.one_of(*one, *(steps if stepped else []))


EXPRESSIONS = st.tuples(
    field(0, 59), field(0, 23), field(1, 28, stepped=False), field(1, 12), field(0, 6, stepped=False)
).map(" ".join)
# Fires on the days of a clock change too, and in the hours that are skipped or shown twice.
MINUTES = st.lists(st.integers(0, 59), min_size=1, max_size=3).map(
    lambda minutes: ",".join(map(str, minutes))
)
DAILY = st.tuples(MINUTES, field(0, 23), st.just("* * *")).map(" ".join)
MOMENTS = st.datetimes(datetime.datetime(2026, 1, 1), datetime.datetime(2029, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=datetime.UTC, microsecond=0)
)
# When each of ZONES that moves its clock does so in 2026, some at midnight or by half an hour.
CLOCK_CHANGES = [
    ("Europe/Paris", "2026-03-29T01:00Z"),
    ("Europe/Paris", "2026-10-25T01:00Z"),
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2026-11-01T06:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    ("America/Santiago", "2026-04-05T03:00Z"),
    ("America/Santiago", "2026-09-06T04:00Z"),
]


def times(text: str, zone: str, after: str, count: int) -> list[str]:
    start = datetime.datetime.fromisoformat(after)
    expression = cron.parse(text, allow_frequent=True)
    return [
        t.isoformat() for t in itertools.islice(expression.fire_times(zoneinfo.ZoneInfo(zone), start), count)
    ]


@PROPERTY
@given(text=EXPRESSIONS, start=MOMENTS)
def test_fire_times_in_utc_are_croniters(text: str, start: datetime.datetime) -> None:
    expected = croniter(text, start)
    ours = cron.parse(text, allow_frequent=True).fire_times(zoneinfo.ZoneInfo("UTC"), start)
    assert list(itertools.islice(ours, 5)) == [expected.get_next(datetime.datetime) for _ in range(5)]


@pytest.mark.parametrize(("zone", "change"), CLOCK_CHANGES)
@settings(PROPERTY, max_examples=60)
@given(text=DAILY, before=st.integers(-2, 40))
def test_fire_times_over_clock_changes_are_croniters_wall_times(
    text: str, zone: str, change: str, before: int
) -> None:
    """Every wall time that croniter names, at each instant at which the zone's clock shows it: 0, 1 or 2."""
    place = zoneinfo.ZoneInfo(zone)
    start = datetime.datetime.fromisoformat(change) - before * datetime.timedelta(minutes=30)
    walls = croniter(text, start.astimezone(place).replace(tzinfo=None) - datetime.timedelta(hours=6))
    expected: list[datetime.datetime] = []
    while len(expected) < 8 or max(expected) < start + datetime.timedelta(days=1, hours=4):
        wall = walls.get_next(datetime.datetime)
        shown = {wall.replace(tzinfo=place, fold=fold).astimezone(datetime.UTC) for fold in (0, 1)}
        expected += [t for t in shown if t.astimezone(place).replace(tzinfo=None) == wall]
    later = sorted(t for t in expected if t > start)
    # The last few may still be overtaken by a second showing of an earlier wall time.
    settled = [t for t in later if t < max(expected) - datetime.timedelta(hours=2)]
    expression = cron.parse(text, allow_frequent=True)
    found = itertools.islice(expression.fire_times(place, start), len(settled))
    assert [t.astimezone(datetime.UTC) for t in found] == settled
    *_, before_last, last = settled
    for until, latest in ((last, last), (last - datetime.timedelta(microseconds=1), before_last)):
        assert expression.latest_fire_time(place, until).astimezone(datetime.UTC) == latest


@PROPERTY
@given(text=EXPRESSIONS, zone=st.sampled_from(ZONES))
def test_each_target_gets_the_same_five_fields(text: str, zone: str) -> None:
    parsed = cron.parse(text, allow_frequent=True)
    seconds, *five = parsed.for_kfp().split()
    assert (seconds, len(five)) == ("0", 5)
    assert parsed.for_vertex(zone) == f"TZ={zone} {' '.join(five)}"
    assert cron.parse(" ".join(five), allow_frequent=True) == parsed


def test_a_time_that_spring_skips_is_skipped() -> None:
    assert times("30 2 * * *", "Europe/Paris", "2026-03-28T12:00+01:00", 2) == [
        "2026-03-30T02:30:00+02:00",
        "2026-03-31T02:30:00+02:00",
    ]


def test_a_time_that_autumn_repeats_fires_twice() -> None:
    assert times("30 2 * * *", "Europe/Paris", "2026-10-24T12:00+02:00", 3) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-26T02:30:00+01:00",
    ]


@pytest.mark.parametrize(("day", "count"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_hourly_fires_as_often_as_the_day_has_hours(day: str, count: int) -> None:
    midnight = datetime.datetime.fromisoformat(day).replace(tzinfo=PARIS)
    fired = cron.parse("0 * * * *").fire_times(PARIS, midnight - datetime.timedelta(minutes=1))
    days = [t.date() for t in itertools.islice(fired, 30)]
    assert days.count(midnight.date()) == count


def test_names_become_numbers() -> None:
    assert cron.parse("30 2 * jan-Mar MON,fri").text == "30 2 * 1-3 1,5"


def test_leap_day_waits_for_the_leap_year() -> None:
    assert times("0 0 29 2 *", "UTC", "2026-01-01T00:00+00:00", 2) == [
        "2028-02-29T00:00:00+00:00",
        "2032-02-29T00:00:00+00:00",
    ]


def test_day_of_month_or_weekday() -> None:
    assert times("0 0 13 * 5", "UTC", "2026-11-09T00:00+00:00", 3) == [
        "2026-11-13T00:00:00+00:00",
        "2026-11-20T00:00:00+00:00",
        "2026-11-27T00:00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("* * *", "five fields"),
        ("0 0 2 * * *", "five fields"),
        ("", "five fields"),
        ("@daily", "five fields"),
        ("61 2 * * *", "minute '61' must be from 0 to 59"),
        ("0 24 * * *", "hour"),
        ("0 2 0 * *", "day of month"),
        ("0 2 * 13 *", "month"),
        ("0 2 * * 7", "Sunday is 0"),
        ("0 2 * * FUN", "weekday"),
        ("0 2 30 2 *", "never fires"),
        ("0 2 31 4,6,9,11 *", "never fires"),
        ("* 2 * * *", "more often than hourly"),
        ("0,30 2 * * *", "more often than hourly"),
        ("0 2 */2 * 1", "means *and*"),
        ("0 2 1 * */2", "means *and*"),
        ("0 2 ? * *", "must be *"),
        ("0 2 L * *", "must be *"),
        ("0 2 * * 5-1", "ends before it starts"),
        ("0 2/3 * * *", "and ranges of them"),
        ("*/0 2 * * *", "must step by"),
        ("*/90 2 * * *", "must step by"),
        ("-1 2 * * *", "must be *"),
        ("1, 2 * * *", "must be *"),
        ("*,5 2 * * *", "must be *, */step, or numbers"),
        ("٣ 2 * * *", "must be *"),
    ],
)
def test_refused_with_the_key_the_value_and_the_reason(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as error:
        cron.parse(text, where="nightly.yaml: cron")
    assert str(error.value).startswith(f"nightly.yaml: cron={text!r}: ")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_frequent_is_allowed_when_said() -> None:
    assert cron.parse("*/15 * * * *", allow_frequent=True).is_frequent()
    assert not cron.parse("5 * * * *").is_frequent()


def test_unknown_zone_offers_close_ones() -> None:
    with pytest.raises(UsageError, match=r"prod\.yaml: time_zone='Europe/Pariss'.*Europe/Paris"):
        cron.zone_named("Europe/Pariss", where="prod.yaml: time_zone")
    assert cron.zone_named("Europe/Paris") == PARIS
