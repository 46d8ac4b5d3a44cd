"""Range checks that every component's `limits.py` is built from: pure, and quick to import."""

import math
from collections.abc import Iterable

from components.errors import UsageError


def whole_number(field: str, value: float, minimum: int, maximum: int) -> int:
    """Returns `value` as an int: KFP turns an int inside a list into a float.

    Raises:
      UsageError: not a whole number, or outside `minimum`..`maximum` (both included).
    """
    is_whole = not isinstance(value, bool) and math.isfinite(value) and value == int(value)
    if not is_whole or not minimum <= value <= maximum:
        raise UsageError(f"{field}={value!r}: must be a whole number from {minimum} to {maximum}")
    return int(value)


def fraction(field: str, value: float) -> float:
    """Returns `value` if it is in 0..1, else raises UsageError."""
    if not 0.0 <= value <= 1.0:  # also false for nan
        raise UsageError(f"{field}={value!r}: must be a fraction from 0 to 1")
    return value


def positive(field: str, value: float) -> float:
    """Returns `value` if it is finite and greater than 0, else raises UsageError."""
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{field}={value!r}: must be a finite number greater than 0")
    return value


def one_of(field: str, value: str, known: Iterable[str]) -> str:
    """Returns `value` if it is one of `known`, else raises UsageError that lists them."""
    known = list(known)
    if value not in known:
        raise UsageError(f"{field}={value!r}: must be one of {', '.join(known)}")
    return value
