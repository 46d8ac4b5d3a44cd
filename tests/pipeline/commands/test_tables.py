"""Lists and facts in their three forms: on a terminal, in a pipe, as JSON."""

import contextlib
import io
import json
from collections.abc import Callable

import pytest

from pipeline.commands import tables

RECORDS: list[tables.Record] = [
    {"name": "a", "rows": 12, "ok": True},
    {"name": "longer", "rows": None, "ok": False},
]
COLUMNS = ("name", "rows", "ok")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(to: io.StringIO, print_: Callable[[], None]) -> str:
    with contextlib.redirect_stdout(to):
        print_()
    return to.getvalue()


def test_a_terminal_gets_aligned_columns_without_trailing_blanks() -> None:
    assert shown(Terminal(), lambda: tables.print_list(RECORDS, COLUMNS, as_json=False)) == (
        "name    rows  ok\n"
        "a       12    true\n"
        "longer        false\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (34, "name    meaning\na       what it is for, said at\n        length\nlonger  short\n"),
        (31, "name    meaning\na       what it is for, said at length\nlonger  short\n"),
    ],
)
def test_a_long_last_column_is_wrapped_below_itself_where_there_is_room(
    columns: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    records = [
        {"name": "a", "meaning": "what it is for, said at length"},
        {"name": "longer", "meaning": "short"},
    ]
    assert (
        shown(Terminal(), lambda: tables.print_list(records, ("name", "meaning"), as_json=False)) == expected
    )


def test_a_pipe_gets_tabs() -> None:
    assert shown(io.StringIO(), lambda: tables.print_list(RECORDS, COLUMNS, as_json=False)) == (
        "name\trows\tok\na\t12\ttrue\nlonger\t\tfalse\n"
    )


@pytest.mark.parametrize("to", [Terminal, io.StringIO])
def test_json_is_the_records_whatever_the_columns_say(to: type[io.StringIO]) -> None:
    text = shown(to(), lambda: tables.print_list(RECORDS, ("name",), as_json=True, row=lambda _: ["x"]))
    assert json.loads(text) == RECORDS
    facts = shown(to(), lambda: tables.print_facts({"a": [1, None]}, as_json=True, rows=[("x", "y")]))
    assert json.loads(facts) == {"a": [1, None]}


def test_an_empty_list_is_still_its_columns_or_an_empty_array() -> None:
    assert shown(io.StringIO(), lambda: tables.print_list([], COLUMNS, as_json=False)) == "name\trows\tok\n"
    assert shown(io.StringIO(), lambda: tables.print_list([], COLUMNS, as_json=True)) == "[]\n"


def test_facts_are_a_line_each_the_empty_ones_too() -> None:
    facts = {"name": "a", "error": "", "parent": None, "champion": False, "epochs": 0, "units": [64]}
    assert shown(io.StringIO(), lambda: tables.print_facts(facts, as_json=False)) == (
        "field\tvalue\nname\ta\nerror\t\nparent\t\nchampion\tfalse\nepochs\t0\nunits\t[64]\n"
    )


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("said", ["\x1b[31mred", "a\nb\tc", "\x9b31m", "\u202egpj"])
def test_what_others_said_steers_no_terminal_and_breaks_no_line(said: str, as_json: bool) -> None:
    text = shown(Terminal(), lambda: tables.print_list([{"name": said}], ("name",), as_json=as_json))
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert len(text.splitlines()) == (5 if as_json else 2)
