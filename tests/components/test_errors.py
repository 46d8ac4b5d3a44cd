import pytest

from components.errors import MAX_MESSAGE, DataError, UsageError, one_line, quoted, reported

HUGE = 10**400


@pytest.mark.parametrize(
    ("message", "expected"),
    [("a\nb\tc", "a b c"), ("\x1b[31mred\x07", "?[31mred?"), ("\u2028é…", "é…")],
)
def test_a_message_is_one_line_that_steers_no_terminal(message: str, expected: str) -> None:
    assert one_line(DataError(message)) == expected


def test_a_long_message_keeps_its_start_and_its_end() -> None:
    line = one_line(UsageError(f"epochs={'9' * 1_000_000}: must be less"))
    assert len(line) <= MAX_MESSAGE
    assert line.startswith("epochs=999")
    assert "must be less" in line


@pytest.mark.parametrize(
    "value", ["x" * 100_000, b"x" * 100_000, ["x"] * 100_000, {"x": "y" * 100_000}, HUGE]
)
def test_a_long_value_is_quoted_in_short(value: object) -> None:
    assert len(quoted(value)) < 400
    assert "..." in quoted(value)


def test_a_short_value_is_quoted_as_it_is() -> None:
    assert [quoted(value) for value in ("a'b", 1.5, [1, "x"], None)] == ['"a\'b"', "1.5", "[1, 'x']", "None"]


def test_a_component_says_its_error_in_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, reported():
        raise DataError("first\nsecond")
    assert ended.value.code == 3
    assert capsys.readouterr().err == "DataError: first second\n"
