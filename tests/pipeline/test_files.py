import stat
from pathlib import Path

import pytest

from components.errors import StorageError, UsageError
from pipeline import files


def test_a_file_is_written_whole_in_a_new_folder_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.yaml"
    files.write_text(path, "Zürich\n", "--output-dir")
    assert files.read_text(path) == "Zürich\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["b.yaml"]
    other = tmp_path / "other"
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("taken", ["folder", "file"])
def test_what_is_in_the_way_is_named_and_nothing_is_left(tmp_path: Path, taken: str) -> None:
    place = tmp_path / "x"
    if taken == "folder":
        (place / "b.yaml").mkdir(parents=True)
    else:
        place.touch()
    with pytest.raises(StorageError, match=r"^--output-dir='.*': cannot be (made|written): "):
        files.write_text(place / "b.yaml", "text", "--output-dir")
    assert [entry.name for entry in tmp_path.rglob("*")] == (["x", "b.yaml"] if taken == "folder" else ["x"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"x" * 11, "is larger than 10 bytes"),
        (b"a\xff", "is not UTF-8: byte 1"),
        (None, "cannot be read: No such"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_option(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "x"
    if content:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"^--digests={path}: {problem}"):
        files.read_text(path, "--digests", most=10)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a file without an end")
def test_a_file_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(UsageError, match="/dev/zero: is larger than 1048576 bytes"):
        files.read_text(Path("/dev/zero"))
