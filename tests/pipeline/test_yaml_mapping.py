"""What people write in files, and what they might be handed."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import UsageError, one_line
from pipeline import yaml_mapping


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_mapping, "_PARSER", getattr(yaml, request.param))


pytestmark = pytest.mark.usefixtures("either_parser")


def read(tmp_path: Path, text: str | bytes) -> dict[str, Any]:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return yaml_mapping.read(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # YAML 1.2's core schema, example 10.9 of its specification and around it
        *((text, None) for text in ("", "~", "null", "Null", "NULL")),
        *((text, True) for text in ("true", "True", "TRUE")),
        *((text, False) for text in ("false", "False", "FALSE")),
        *(("0", 0), ("-19", -19), ("+12", 12), ("010", 10), ("0o7", 7), ("0x3A", 58)),
        *(
            ("0.", 0.0),
            ("-0.0", -0.0),
            (".5", 0.5),
            ("12e03", 12000.0),
            ("-2E+05", -200000.0),
            ("1e-3", 0.001),
        ),
        *((".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf)),
        # what YAML 1.1 takes for something else
        *(
            (text, text)
            for text in ("yes", "no", "on", "Off", "y", "1:30", "1:30:00", "1_000", "0b11", "0o8")
        ),
        *(
            (text, text)
            for text in ("2026-02-30", "2026-11-26", "2026-11-26 10:00:00", "=", "1.e", "e5", "+")
        ),
        *(("'1'", "1"), ('"true"', "true"), ("|-\n  1", "1"), ("a b", "a b"), ("Zürich", "Zürich")),
        *(("[1, [a]]", [1, ["a"]]), ("{a: 1, 010: 2}", {"a": 1, "010": 2}), ("[]", []), ("{}", {})),
        ("9" * 40, int("9" * 40)),
    ],
)
def test_a_scalar_means_what_it_looks_like(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, f"key: {text}\nother: 1\n")["key"]
    assert (type(found), found) == (type(value), value)


def test_not_a_number_is_one(tmp_path: Path) -> None:
    assert math.isnan(read(tmp_path, "key: .nan")["key"])


def test_names_are_text_and_a_byte_order_mark_is_none_of_them(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf1: a\ntrue: b\n010: c\n") == {"1": "a", "true": "b", "010": "c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping of names to values"),
        ("- 1", "must be a mapping"),
        ("text", "must be a mapping"),
        ("a: 1\nb: 2\na: 3", ":3:1: a is given twice"),
        ("a: {b: 1, b: 2}", ":1:11: b is given twice"),
        ("a: &x 1", ":1:4: an anchor is not allowed"),
        ("a: *x", ":1:4: an alias is not allowed"),
        ("<<: {a: 1}", ":1:1: a merge key is not allowed"),
        ("a: !!python/object/apply:os.system [ls]", ":1:4: a tag is not allowed"),
        ("a: !!int '1'", ":1:4: a tag is not allowed"),
        ("!!set {a}", ":1:1: a tag is not allowed"),
        ("? [1, 2]\n: 3", ":1:3: a key must be a name"),
        ("a: 1\n---\nb: 2", ":3:1: a second document is not allowed"),
        ("a: 1\n--- 2", "a second document is not allowed"),
        ("a: b: c", "is not YAML: line 1, column 5: "),
        ("a: [1", "is not YAML: line "),
        ("a: \t- 1", "is not YAML: line 1, "),
        ("a: \x00", "is not YAML: "),
        (b"a: \xff", "is not UTF-8: byte 3"),
        ("a: " + "9" * 41, ":1:4: a number of 41 digits"),
        ("a: " + "9" * 5_000, ":1:4: a number of 5000 digits"),
        ("a: 0x" + "f" * 5_000, ":1:4: a number of 5002 digits"),
        ("a: " + "[" * 21 + "]" * 21, ":1:23: more than 20 levels are not allowed"),
        ("a: " + "[" * 500_000, "more than 20 levels are not allowed"),
        ("a: " + "{b: " * 100_000, "more than 20 levels are not allowed"),
        ("a: " + "x" * (1 << 20), "is larger than 1048576 bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_refused_is_one_line_that_says_where(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path, text)
    line = str(error.value)
    assert line.startswith(f"{tmp_path / 'mine.yaml'}:")
    assert message in line
    assert line == one_line(error.value)
    assert len(line) < len(str(tmp_path)) + 200


def test_a_hundred_megabytes_are_not_read_to_be_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(UsageError, match="is larger than 1048576 bytes"):
        yaml_mapping.read(path)


def cpu_seconds(tmp_path: Path, keys: int) -> float:
    text = "".join(f"k{number}: {number}\n" for number in range(keys))
    started = time.process_time()
    assert len(read(tmp_path, text)) == keys
    return time.process_time() - started


def test_many_keys_cost_each_the_same(tmp_path: Path) -> None:
    """In processor time; eight times as many took sixty-four times as long, and 60,000 of them 40 s."""
    few = min(cpu_seconds(tmp_path, 2_000) for _ in range(3))
    assert cpu_seconds(tmp_path, 16_000) < 25 * few


@pytest.mark.parametrize("make", ["nothing", "directory"])
def test_what_is_no_file_is_said(tmp_path: Path, make: str) -> None:
    path = tmp_path / "x.yaml"
    if make == "directory":
        path.mkdir()
    with pytest.raises(UsageError, match=rf"^{path}: cannot be read: (No such file|Is a directory)"):
        yaml_mapping.read(path)
