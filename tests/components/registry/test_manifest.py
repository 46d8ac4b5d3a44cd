"""The pointer by itself: where it has been, and where back leads."""

import pytest

from components.errors import DataError
from components.registry.manifest import Move, Pointer, now, parse_pointer

SHA256 = "0" * 64


def version(letter: str) -> str:
    return letter * 64


def pointer_that_went(way: str) -> Pointer:
    """A pointer that named one version after another, each a letter."""
    pointer = Pointer(Move(version(way[0]), 1, now()), SHA256, first_serving=1)
    for letter in way[1:]:
        pointer = pointer.moved_to(version(letter), SHA256)
    return pointer


@pytest.mark.parametrize(
    ("way", "before"),
    [
        ("a", None),
        ("ab", "a"),
        ("abc", "b"),
        ("abcb", "a"),  # one step back, and the next
        ("abcba", None),  # all the way
        ("abcdcba", None),
        ("abcbd", "b"),  # back, and on with another
        ("abcbdb", "a"),
        ("abca", None),  # two steps at once, by name
        ("abcac", "a"),  # back by name, and promoted once more
    ],
)
def test_back_leads_to_the_champion_before_and_never_in_a_circle(way: str, before: str | None) -> None:
    assert pointer_that_went(way).before() == (version(before) if before else None)


def test_going_back_again_and_again_ends_at_the_first() -> None:
    pointer, seen = pointer_that_went("abcde"), []
    while back := pointer.before():
        pointer = pointer.moved_to(back, SHA256)
        seen.append(back[0])
    assert seen == ["d", "c", "b", "a"]
    assert pointer.current.serving == 9


def test_a_pointer_comes_back_as_it_was_written() -> None:
    pointer = pointer_that_went("abc")
    assert parse_pointer(pointer.encode(), "here") == pointer
    assert b"signatures" not in pointer.encode()
    assert pointer.encode() == pointer.signed_bytes()


@pytest.mark.parametrize("first", [0, -1, 4])
def test_the_registrys_numbers_end_with_the_current_one(first: int) -> None:
    """`gc` deletes what has one of them."""
    data = pointer_that_went("abc").encode().replace(b'"first_serving": 1', b'"first_serving": %d' % first)
    with pytest.raises(DataError, match=f"first_serving={first} must be from 1 to serving"):
        parse_pointer(data, "here")
