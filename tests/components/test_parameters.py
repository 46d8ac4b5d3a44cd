"""Ranges against values that no range was written for."""

import re

import pytest

from components.errors import UsageError
from components.parameters import Flag, Fraction, Number, OneOf, Range, Text, WholeNumber, WholeNumbers

HUGE = 10**400  # fits no float
RANGES = (
    WholeNumber(2, 10),
    Number(0, above=True),
    Number(1, 10),
    Fraction(),
    OneOf(("a", "b")),
    Flag(),
    WholeNumbers(WholeNumber(1, 10), most=3),
    Text("text"),
)
ODD: tuple[object, ...] = (
    HUGE,
    -HUGE,
    float("inf"),
    float("nan"),
    -0.5,
    b"a",
    None,
    object(),
    {},
    [HUGE],
    ["a"],
    [None],
    [[]],
)


@pytest.mark.parametrize("accepts", RANGES, ids=repr)
@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_every_range_refuses_what_fits_none_in_one_short_line(accepts: Range, value: object) -> None:
    with pytest.raises(UsageError) as refused:
        accepts.read("epochs", value)
    assert re.fullmatch(r"epochs=.{1,200}: must be .*", str(refused.value))


def test_what_a_float_can_just_hold_is_a_number() -> None:
    assert Number(0, above=True).read("rate", 10**300) == 1e300
