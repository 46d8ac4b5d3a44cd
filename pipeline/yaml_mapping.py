"""Files that people write: one mapping each, in the part of YAML 1.2 that means what it looks like.

read(Path("parameters.yaml"))   # {"epochs": 10, "learning_rate": 0.001, "dataset": "mnist"}

PyYAML parses; what a scalar is, is decided here, by YAML 1.2's core schema: `010` is ten and `1e-3` a number;
`1:30`, `yes` and `2026-02-30` are text. What only makes a file hard to read or to bound is refused: a key
given twice, anchors, aliases, merge keys, tags, several documents, and sizes that no such file has.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from components.errors import UsageError, quoted
from pipeline import files

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_DIGITS = 40

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is
_INFINITY = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
# https://yaml.org/spec/1.2.2/#103-core-schema
_SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (_INFINITY, lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda _: float("nan")),
)


class _NotOursError(Exception):
    """Says what and where, as `1:5: a tag is not allowed`."""


def read(path: Path) -> dict[str, Any]:
    """Returns the mapping that the file holds.

    Raises:
      UsageError: it cannot be read, is not YAML, has what is refused, or is no mapping of names to values.
    """
    text = files.read_text(path, most=MAX_BYTES)
    try:
        value = _Builder(yaml.parse(text, Loader=_PARSER)).document()
    except _NotOursError as error:
        raise UsageError(f"{path}:{error}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not YAML: {_words(error)}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path}: must be a mapping of names to values")
    return value


class _Builder:
    """Builds values from PyYAML's events, and stops at the first that is not ours."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._depth = 0

    def document(self) -> Any:
        value, documents = None, 0
        for event in self._events:
            if isinstance(event, yaml.NodeEvent):
                value = self._value(event)
                documents += 1
            if documents > 1:
                raise _refused(event, "a second document is not allowed")
        return value

    def _value(self, event: yaml.Event) -> Any:
        _check_plain(event)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _refused(event, f"more than {MAX_DEPTH} levels are not allowed")
        value = self._mapping() if isinstance(event, yaml.MappingStartEvent) else self._list()
        self._depth -= 1
        return value

    def _list(self) -> list[Any]:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event))
        return items

    def _mapping(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            _check_plain(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise _refused(event, "a key must be a name")
            if event.value in values:
                raise _refused(event, f"{event.value[:80]} is given twice")
            if event.value == "<<":
                raise _refused(event, "a merge key is not allowed")
            values[event.value] = self._value(next(self._events))
        return values


def _check_plain(event: yaml.Event) -> None:
    if isinstance(event, yaml.AliasEvent):
        raise _refused(event, "an alias is not allowed")
    assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)  # what there may be instead of one
    if event.anchor:
        raise _refused(event, "an anchor is not allowed")
    if event.tag:
        raise _refused(event, f"a tag is not allowed ({quoted(event.tag)})")


def _scalar(event: yaml.ScalarEvent) -> Any:
    text = str(event.value)
    if not event.implicit[0]:  # quoted, or a block
        return text
    convert = next((convert for pattern, convert in _SCALARS if pattern.fullmatch(text)), str)
    if convert is not str and len(text) > MAX_DIGITS:
        raise _refused(event, f"a number of {len(text)} digits")
    return convert(text)


def _refused(event: yaml.Event, what: str) -> _NotOursError:
    mark = event.start_mark
    assert mark  # every event that a parser makes has one
    return _NotOursError(f"{mark.line + 1}:{mark.column + 1}: {what}")


def _words(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', '')}"
