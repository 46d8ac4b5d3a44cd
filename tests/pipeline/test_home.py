from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from components.errors import UsageError
from pipeline import home
from pipeline.cli import app


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_home_is_put_in_and_the_type_stays(own_home: Path) -> None:
    assert home.expanded("~/a") == f"{own_home}/a"
    assert home.expanded(Path("~/a")) == own_home / "a"
    assert home.expanded(Path("~")) == own_home


@pytest.mark.parametrize("path", ["", "a", "/a/~", "./~", "a~", "gs://bucket/~", "file:///~"])
def test_other_paths_stay_as_they_are(path: str) -> None:
    assert home.expanded(path) == path


def test_a_user_that_does_not_exist_is_said() -> None:
    with pytest.raises(UsageError, match=r"^'~no-such-user/a': there is no such user's home$"):
        home.expanded("~no-such-user/a")


def path_options() -> list[tuple[list[str], str]]:
    """Every option and argument of every command that takes a path: the command's words, and its name."""
    found = []

    def walk(command: Any, words: list[str]) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*words, name])
        for parameter in [] if hasattr(command, "commands") else command.params:
            kind = str(parameter.get_runtime_param().annotation)
            if "Path" in kind or set(parameter.opts) & {"--bucket", "--to", "--from", "--against"}:
                found.append((words, parameter.opts[0]))

    walk(typer.main.get_command(app), [])
    return found


def test_all_paths_of_the_command_line_are_found() -> None:
    assert len(path_options()) > 20
    assert {name for _, name in path_options()} >= {
        "--bucket",
        "--parameters",
        "--from-yaml",
        "--runs-dir",
        "--output-dir",
        "--digests",
        "--signing-key",
        "--verify-key",
        "--directory",
        "directory",
    }


@pytest.mark.parametrize(("words", "name"), path_options(), ids=str)
def test_every_path_of_the_command_line_is_expanded(words: list[str], name: str) -> None:
    """Asked by a user that does not exist: whoever does not expand it goes on, or calls it a missing file."""
    is_argument = not name.startswith("-")
    own = ["~no-such-user/x"] if is_argument else [name, "~no-such-user/x"]
    required = {
        "sign": ["abcdef"],
        "promote": ["abcdef"],
        "gc": ["--keep", "1"],
        "download": ["x"],
        "remove": ["x"],
    }
    required |= {"add": ["x", "--name", "x", "--to", "x"], "check": ["x"]} if words[:1] == ["data"] else {}
    others = required.get(words[-1], [])
    others = others[1:] if is_argument else others
    keys = {"sign": ["--signing-key", "x"], "require-signatures": ["--verify-key", "x"]}.get(words[-1], [])
    done = CliRunner().invoke(app, [*words, *others, *([] if name in keys else keys), *own])
    assert "there is no such user's home" in str(done.exception), done.output
