import re
from collections.abc import Callable

import pytest

from components import json_objects
from components.errors import DataError
from components.json_objects import JsonObject


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b"<html>sign in</html>", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "a JSON list, not an object"),
        (b"1", "a JSON int, not an object"),
        (b'{"a": 1, "a": 2}', "a key appears twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "1e999 is larger than any number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"^here: .*{message}") as error:
        json_objects.parse(data, "here")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda o: o.text("number"), "number=1 must be a string"),
        (lambda o: o.integer("flag"), "flag=True must be a whole number"),
        (lambda o: o.integer("fraction"), "fraction=1.0 must be a whole number"),
        (lambda o: o.integer("absent"), "absent=None must be a whole number"),
        (lambda o: o.flag("number"), "number=1 must be true or false"),
        (lambda o: o.array("text"), "text='abc' must be a list"),
        (lambda o: o.objects("array"), "array=1 must be an object"),
        (lambda o: o.nested("array"), r"array=\[1\] must be an object"),
        (lambda o: o.matching("text", re.compile("ab")), "text='abc' has not the form ab"),
        (lambda o: o.text("long"), "long=.{80}… must be a string"),
    ],
)
def test_a_field_of_another_kind_is_named(read: Callable[[JsonObject], object], message: str) -> None:
    fields = json_objects.parse(
        b'{"number": 1, "flag": true, "fraction": 1.0, "text": "abc", "array": [1], "long": [%s]}'
        % b", ".join([b"1"] * 500),
        "here",
    )
    with pytest.raises(DataError, match=f"^here: {message}"):
        read(fields)


def test_fields_of_the_right_kind_are_returned() -> None:
    fields = json_objects.parse(b'{"n": 1, "f": false, "t": "abc", "a": [{"n": 2}], "o": {"n": 3}}', "here")
    assert fields.integer("n") == 1
    assert fields.flag("f") is False
    assert fields.matching("t", re.compile("[a-c]+")) == "abc"
    assert [row.integer("n") for row in fields.objects("a")] == [2]
    assert fields.nested("o").integer("n") == 3


def test_a_format_must_be_the_expected_one() -> None:
    assert json_objects.parse_format(b'{"format": "x/1"}', "here", "x/1").text("format") == "x/1"
    with pytest.raises(DataError, match="here: format 'x/2', expected 'x/1'"):
        json_objects.parse_format(b'{"format": "x/2"}', "here", "x/1")
