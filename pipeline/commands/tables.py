"""How a command prints what it lists or shows: aligned on a terminal, tab-separated in a pipe, JSON if asked.

tables.print_list(records, ("name", "state"), as_json=as_json)   # [{"name": …, "state": …, …}, …]
tables.print_facts({"name": …, "state": …}, as_json=as_json)     # {"name": …, "state": …}

JSON has the records whole, values with their types; a table has what fits a line, each cell as text.
"""

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]
_GAP = "  "
_NARROWEST = 24  # columns; a cell in less than that is better left to the terminal
Record = Mapping[str, Any]


def print_list(
    records: Sequence[Record],
    columns: Sequence[str],
    *,
    as_json: bool,
    row: Callable[[Record], Iterable[Any]] | None = None,
) -> None:
    """Prints one line for each record under a line of column names, or a JSON array.

    Args:
      records: of JSON values.
      columns: the table's; keys of the records where no `row` is given.
      as_json: print the records themselves.
      row: a record's cells, for a table that says it shorter.
    """
    if as_json:
        _print_json(list(records))
        return
    _print_table(columns, [row(each) if row else [each[name] for name in columns] for each in records])


def print_facts(record: Record, *, as_json: bool, rows: Iterable[tuple[str, Any]] | None = None) -> None:
    """Prints one line for each fact, or a JSON object.

    Args:
      record: of JSON values.
      as_json: print the record itself.
      rows: names and values of the table, if they are not the record's own.
    """
    if as_json:
        _print_json(record)
        return
    facts = record.items() if rows is None else rows
    _print_table(("field", "value"), facts)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))  # escapes whatever is not ASCII: a terminal is not steered


def _print_table(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    cells = [list(columns), *([_text(value) for value in row] for row in rows)]
    if not sys.stdout.isatty():
        typer.echo("\n".join("\t".join(line) for line in cells))
        return
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = shutil.get_terminal_size().columns - sum(width + len(_GAP) for width in widths[:-1])
    for line in cells:
        *padded, last = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        start = "".join(cell + _GAP for cell in padded)
        typer.echo((start + _wrapped(last.rstrip(), room, len(start))).rstrip())


def _wrapped(text: str, room: int, indent: int) -> str:
    """The last cell over several lines below each other, if it does not fit and there is room to read it."""
    if len(text) <= room or room < _NARROWEST:
        return text
    parts = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(parts)


def _text(value: Any) -> str:
    """One cell: what a platform or a bucket says must neither steer a terminal nor break the line."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, sort_keys=True)
    return "".join(character if character.isprintable() else "?" for character in text)
