"""What a server answered, which may be anything: another version's JSON, another server's, or no JSON at all.

Every optional field of every row may be missing, so a row is read by `text`, `part` and `rows` and in no
other way.
"""

import datetime
import json
from typing import Any

Json = dict[str, Any]


def parsed(data: bytes) -> Json:
    """Returns an answer's JSON object; raises ValueError for anything else, a login page first of all."""
    try:
        answer = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(answer, dict):
        raise ValueError("not an object")
    return answer


def text(row: Json, key: str) -> str:
    """Returns a text field, "" if it is missing or no text."""
    value = row.get(key)
    return value if isinstance(value, str) else ""


def part(row: Json, key: str) -> Json:
    """Returns an inner object, {} if it is missing or no object."""
    value = row.get(key)
    return value if isinstance(value, dict) else {}


def rows(row: Json, key: str) -> list[Json]:
    """Returns the objects of a list, [] if it is missing or no list."""
    value = row.get(key)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def moment(row: Json, key: str) -> str:
    """Returns a time in seconds, "" if it is missing, not a time or 1970, which says never."""
    try:
        value = datetime.datetime.fromisoformat(text(row, key))
    except ValueError:
        return ""
    return "" if value.year <= 1970 else value.strftime("%Y-%m-%dT%H:%M:%SZ")
