"""Typed parts of the files that people write: no unknown key, and texts of a form that the error names."""

import re
from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """A mapping in such a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def matching(pattern: str, description: str) -> AfterValidator:
    """Returns a check that says in words what the pattern wants."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {description}")
        return value

    return AfterValidator(check)


_REASONS = {
    "missing": "is required",
    "extra_forbidden": "no such key for this target",
}
_RANGES = {
    "greater_than_equal": ("ge", "must be at least"),
    "less_than_equal": ("le", "must be at most"),
}


def reason_of(line: Any) -> str:
    """Returns in words what is wrong with one value, from one of a pydantic error's lines."""
    kind = line["type"]
    if kind in _RANGES:
        bound, words = _RANGES[kind]
        return f"{words} {line['ctx'][bound]}"
    return _REASONS.get(kind, str(line["msg"]).removeprefix("Value error, "))
