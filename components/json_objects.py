"""Reads JSON objects that somebody else wrote: typed fields, and one line that says which one is wrong.

    verdict = json_objects.parse(path.read_bytes(), str(path))
    verdict.flag("blessed")      # True or False; else "…/evaluation.json: blessed=1 must be true or false"
    verdict.nested("champion")   # a JsonObject again

Pure: bytes in, checked values out.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from components.errors import DataError

Value = TypeVar("Value")

_SHOWN = 80  # characters of a wrong value that a message repeats


@dataclass(frozen=True)
class JsonObject:
    """A JSON object; every method raises DataError if a field is missing or of another kind.

    Attributes:
      values: what it holds, as `json.loads` gives it.
      where: what error messages call it.
    """

    values: dict[str, Any]
    where: str

    def text(self, name: str) -> str:
        """Returns a string."""
        return self._of_type(name, str, "a string")

    def integer(self, name: str) -> int:
        """Returns a whole number; neither 1.0 nor true is one."""
        return self._of_type(name, int, "a whole number")

    def flag(self, name: str) -> bool:
        """Returns true or false."""
        return self._of_type(name, bool, "true or false")

    def array(self, name: str) -> list[Any]:
        """Returns a list of anything."""
        return self._of_type(name, list, "a list")

    def objects(self, name: str) -> tuple["JsonObject", ...]:
        """Returns a list's objects."""
        return tuple(self._as_object(name, value) for value in self.array(name))

    def nested(self, name: str) -> "JsonObject":
        """Returns an object."""
        return self._as_object(name, self.values.get(name))

    def matching(self, name: str, form: re.Pattern[str]) -> str:
        """Returns a string that `form` matches from end to end."""
        value = self.text(name)
        if not form.fullmatch(value):
            raise DataError(f"{self.where}: {name}={value[:_SHOWN]!r} has not the form {form.pattern}")
        return value

    def _of_type(self, name: str, kind: type[Value], expected: str) -> Value:
        value = self.values.get(name)
        if type(value) is not kind:  # bool is an int to isinstance
            raise DataError(f"{self.where}: {name}={_shown(value)} must be {expected}")
        return value

    def _as_object(self, name: str, value: Any) -> "JsonObject":
        if not isinstance(value, dict):
            raise DataError(f"{self.where}: {name}={_shown(value)} must be an object")
        return JsonObject(value, self.where)


def parse(data: bytes, where: str) -> JsonObject:
    """Returns the JSON object in `data`.

    Args:
      data: its bytes, UTF-8.
      where: what error messages call it.

    Raises:
      DataError: anything else, NaN or Infinity, a key that comes twice, or nesting without end.
    """
    try:
        value = json.loads(
            data, object_pairs_hook=_unique_keys, parse_constant=_refused_constant, parse_float=_finite
        )
    except RecursionError:
        raise DataError(f"{where}: not JSON: nested too deeply") from None
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{where}: not JSON: {reason[:120]}") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: a JSON {type(value).__name__}, not an object")
    return JsonObject(value, where)


def parse_format(data: bytes, where: str, expected: str) -> JsonObject:
    """Returns the JSON object in `data` whose field `format` is `expected`; raises as `parse` does."""
    found = parse(data, where)
    if found.values.get("format") != expected:
        raise DataError(f"{where}: format {str(found.values.get('format'))[:60]!r}, expected {expected!r}")
    return found


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice")
    return result


def _refused_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # 1e999 is JSON, and cannot be written as JSON again
        raise ValueError(f"{text[:20]} is larger than any number here")
    return value
