"""Rules for how sources are written that no linter knows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PRODUCT = sorted(
    path for folder in ("components", "pipeline", "containers") for path in CHECKOUT.glob(f"{folder}/**/*.py")
)
SOURCES = [*PRODUCT, *sorted(CHECKOUT.glob("tests/**/*.py"))]
SUBPROCESSES = ("run", "Popen", "check_output")


def keywords(call: ast.Call) -> set[str]:
    return {keyword.arg for keyword in call.keywords if keyword.arg}


def texts_without_encoding(tree: ast.AST) -> Iterator[int]:
    """Yields the lines of calls that read or write text in whatever encoding this machine prefers."""
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        given = len(call.args) + ("encoding" in keywords(call))
        if call.func.attr == "read_text" and given < 1:
            yield call.lineno
        if call.func.attr == "write_text" and given < 2:
            yield call.lineno


def subprocesses_without_encoding(tree: ast.AST) -> Iterator[int]:
    for call in ast.walk(tree):
        if (
            (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in SUBPROCESSES
            )
            and {"text", "universal_newlines"} & keywords(call)
            and "encoding" not in keywords(call)
        ):
            yield call.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_text_files_are_utf8_on_every_machine(path: Path) -> None:
    """Ruff's PLW1514 knows `open` and what it can see to be a path; most paths come from elsewhere."""
    assert list(texts_without_encoding(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_what_other_programs_say_is_read_as_utf8_on_every_machine(path: Path) -> None:
    assert list(subprocesses_without_encoding(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_the_rules_see_what_they_forbid() -> None:
    bad = ast.parse('path.read_text()\npath.write_text("x")\nsubprocess.run(command, text=True)')
    assert [*texts_without_encoding(bad), *subprocesses_without_encoding(bad)] == [1, 2, 3]
