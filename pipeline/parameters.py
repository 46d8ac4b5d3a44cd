"""Pipeline parameters as the user writes them: `-p name=value`, a YAML file, or both.

The names and types are those that the compiled pipeline declares; there is no second list here.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from components.errors import UsageError, quoted, shortened
from pipeline import yaml_mapping

COMMAND_LINE = "-p"

_BOOLEANS = {"true": True, "false": False}
_EXPECTED = {
    "STRING": "text",
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "LIST": "a JSON list",
    "STRUCT": "a JSON object",
}


def declared(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the pipeline's parameters, name to `{parameterType, defaultValue, …}`, from its IR."""
    return dict(spec["root"]["inputDefinitions"]["parameters"])


def resolve(
    spec: Mapping[str, Any],
    assignments: Iterable[str],
    files: Iterable[Path] = (),
    fallbacks: Mapping[str, Any] | None = None,
    mappings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Merges defaults, fallbacks, files in order and `-p` assignments; converts and checks every value.

    Args:
      spec: the compiled pipeline (IR as a dict).
      assignments: `name=value`, split on the first `=`.
      files: YAML mappings of parameter names to values.
      mappings: what has been read already: where from, to names and values; files go over it.
      fallbacks: the caller's own values for what neither a file nor `-p` sets.

    Returns:
      Every parameter of the pipeline with its value.

    Raises:
      UsageError: one line with parameter, value, what is allowed and where it came from.
    """
    known = declared(spec)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    read = {**(mappings or {}), **{str(path): yaml_mapping.read(path) for path in files}}
    for source, mapping in read.items():
        for name, value in mapping.items():
            values[name] = _typed(name, value, known, source)
            sources[name] = source
    for name, text in _split(assignments).items():
        values[name] = _parsed(name, text, known)
        sources[name] = COMMAND_LINE
    defaults = {name: d["defaultValue"] for name, d in known.items() if "defaultValue" in d}
    chosen = defaults | dict(fallbacks or {}) | values
    merged = {name: _as_declared(value, known[name]) for name, value in chosen.items()}
    missing = [name for name in known if name not in merged and not known[name].get("isOptional")]
    if missing:
        raise UsageError(f"{missing[0]}: has no default, set it with {COMMAND_LINE} {missing[0]}=…")
    check(merged, sources)
    return merged


def check(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Asks every component whether it accepts its share of `values`; nothing is launched for that.

    Raises:
      UsageError: the component's own line, and where the value came from.
    """
    from pipeline.dag import INPUTS  # KFP takes a second to import

    try:
        for kind in INPUTS:
            kind.among(values)
    except UsageError as error:
        field = str(error).partition("=")[0].partition(":")[0]
        raise UsageError(f"{error} (from {sources.get(field, 'the default')})") from None


def _split(assignments: Iterable[str]) -> dict[str, str]:
    split: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise UsageError(f"{COMMAND_LINE} {shortened(assignment)}: must be name=value")
        if name in split:
            where = f"{COMMAND_LINE} {shortened(assignment)}"
            raise UsageError(f"{where}: {shortened(name)} was already set to {quoted(split[name])}")
        split[name] = text
    return split


def _declaration(name: str, known: Mapping[str, Any], source: str) -> dict[str, Any]:
    if name not in known:
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        unknown = f"{shortened(name)}: no such parameter (from {source})"
        raise UsageError(f"{unknown}; {hint}known: {', '.join(known)}")
    found: dict[str, Any] = known[name]
    return found


def _parsed(name: str, text: str, known: Mapping[str, Any]) -> Any:
    """Converts a command-line text by the type that the pipeline declares."""
    kind = _declaration(name, known, COMMAND_LINE)["parameterType"]
    try:
        if kind == "STRING":
            return text
        if kind == "NUMBER_INTEGER":
            return int(text)
        if kind == "NUMBER_DOUBLE":
            return float(text)
        if kind == "BOOLEAN":
            return _BOOLEANS[text.lower()]
        value = json.loads(text)
    except (ValueError, KeyError, RecursionError):
        raise _wrong_type(name, text, kind, COMMAND_LINE) from None
    return _typed(name, value, known, COMMAND_LINE)


def _typed(name: str, value: Any, known: Mapping[str, Any], source: str) -> Any:
    """Returns a value from a file if it has the type that the pipeline declares."""
    kind = _declaration(name, known, source)["parameterType"]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "STRING": isinstance(value, str),
        "NUMBER_INTEGER": is_number and isinstance(value, int),
        "NUMBER_DOUBLE": is_number,
        "BOOLEAN": isinstance(value, bool),
        "LIST": isinstance(value, list),
        "STRUCT": isinstance(value, dict),
    }
    if not fits[kind]:
        raise _wrong_type(name, value, kind, source)
    return value


def _as_declared(value: Any, declaration: Mapping[str, Any]) -> Any:
    """IR keeps every number as a double; gives whole-number parameters their type back."""
    kind = declaration["parameterType"]
    if kind == "NUMBER_INTEGER":
        return int(value)
    return float(value) if kind == "NUMBER_DOUBLE" else value


def _wrong_type(name: str, value: Any, kind: str, source: str) -> UsageError:
    return UsageError(f"{name}={quoted(value)}: must be {_EXPECTED[kind]} (from {source})")
