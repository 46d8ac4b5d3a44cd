"""Every verb, given what people and scripts give by mistake: one line and its exit code, never a traceback.

The cases are made from each option's kind, so a new option of a verb that is listed here is tried too.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from components.errors import MAX_MESSAGE
from pipeline import cli

MISTAKES = (2, 3, 4, 5)
LONG = "x" * 5_000
NOT_UTF8 = "a\udcffb"  # a byte of the command line that is not UTF-8
NUMBERS = ("", "x", "nan", "-1", "9" * 400, "1e999", LONG)
FILES = ("FOLDER", "missing", "FILE/x", "BINARY", "FULL", "~no-such-user/x", "y" * 300, NOT_UTF8)
FOLDERS = ("FILE", "FILE/x", "/proc/x", "~no-such-user/x", "y" * 300, NOT_UTF8)
URIS = (
    "FILE",
    "FILE/x",
    "missing",
    "s3://x",
    "gs://",
    "gs://a/../b",
    "gs://b/[x]",
    "file://x",
    "~no-such-user/x",
    "y" * 300,
    NOT_UTF8,
    LONG,
)
NAMES = ("", "no-such", "../x", "a b", "a\nb", "\x1b[31m", NOT_UTF8, LONG)
ASSIGNMENTS = (
    "",
    "x",
    "=1",
    "epochs=",
    "epochs=ten",
    "epochs=" + "9" * 400,
    "hidden_units=" + "[" * 9_999,
    "no=1",
    LONG,
    f"model_style={NOT_UTF8}",
    "seed=nan",
    "bucket_uri=s3://x",
    "mirror=ftp://x",
    "notify_webhook=x",
    "checkpoint_uri=~/x",
)

# What each verb needs beside the mistake, so that it is the mistake that is answered.
NEEDS: dict[str, list[str]] = {
    "data add": ["FILE", "--to", "EMPTY", "--name", "x"],
    "data check": ["FILE"],
    "data list": ["--from", "EMPTY"],
    "data remove": ["x", "--from", "EMPTY"],
    "models show": ["--bucket", "EMPTY"],
    "models verify": ["--bucket", "EMPTY"],
    "models promote": ["abcdef", "--bucket", "EMPTY"],
    "models rollback": ["--bucket", "EMPTY"],
    "models download": ["new", "--bucket", "EMPTY"],
    "models gc": ["--keep", "1", "--bucket", "EMPTY"],
    "models sign": ["abcdef", "--signing-key", "FILE", "--bucket", "EMPTY"],
    "models require-signatures": ["--verify-key", "FILE", "--bucket", "EMPTY"],
    "env check": ["no-such"],
    "runs list": ["--env", "no-such"],
    "runs show": ["x", "--env", "no-such"],
    "runs cancel": ["x", "--env", "no-such"],
    "schedule plan": ["--env", "no-such"],
    "schedule apply": ["--env", "no-such"],
    "schedule prune": ["--env", "no-such"],
    "schedule list": ["--env", "no-such"],
    "schedule pause": ["x", "--env", "no-such"],
    "schedule resume": ["x", "--env", "no-such"],
    "schedule delete": ["x", "--env", "no-such"],
    "schedule run-now": ["x", "--env", "no-such"],
    "schedule preview": ["no-such"],
    "submit": ["--env", "local", "--dry-run"],
    "run": ["-p", "epochs=0"],  # a run would follow where there is no other mistake
    "compile": ["--target", "kfp"],
    "images sbom": ["--tf-variant", "no-such"],
}
# They build, push or ask an engine, or can hardly be called wrongly; their options are other verbs' too.
LEFT_OUT = {
    "images build",
    "images push",
    "images list",
    "demo-retraining",
    "params",
    "env list",
    "models list",
}
OUTPUT = {"--output-dir", "--directory", "--runs-dir", "directory"}
URI = {"--bucket", "--to", "--from", "--against"}
FREE = {"--id", "--network", "--gpus", "--memory", "--name", "--node-selector", "--accelerator-type"}


def verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*words, name))
    if not hasattr(command, "commands"):
        yield " ".join(words), command


def mistakes(option: Any) -> tuple[str, ...]:
    name, kind = option.opts[0], str(option.get_runtime_param().annotation)
    if name == "-p":
        return ASSIGNMENTS
    if name in OUTPUT:
        return FOLDERS
    if name in URI:
        return URIS
    if "Path" in kind:
        return FILES
    if "int" in kind or "float" in kind:
        return NUMBERS
    return () if "bool" in kind or name in FREE else NAMES


# No mistakes: the default, any name, a byte that a folder's name may have, and to keep more than there is.
FINE = {
    ("models gc", "--keep", "9" * 400),
    ("compile", "--registry", ""),
    ("compile", "--registry", "no-such"),
    ("compile", "--tag", ""),
    ("compile", "--tag", "no-such"),
    ("compile", "--output-dir", NOT_UTF8),
}
# A run says these before it looks at its parameters, or they are its parameters.
UNMASKED = {"-p", "--parameters", "--from-yaml", "--runs-dir", "--signing-key", "--verify-key", "--digests"}


def cases() -> Iterator[tuple[str, list[str]]]:
    for verb, command in verbs(typer.main.get_command(cli.app)):
        if verb in LEFT_OUT:
            continue
        needs = NEEDS[verb]
        yield verb, [*needs, "--no-such-option"]
        for option in command.params:
            name = option.opts[0]
            own = [] if verb == "run" and name in UNMASKED else needs
            for value in mistakes(option) if name.startswith("-") else ():
                if (verb, name, value) not in FINE:
                    yield verb, [*own, name, value]


CASES = list(cases())


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("places")
    for name in ("folder", "empty"):
        (root / name).mkdir()
    (root / "file").write_text("text", encoding="utf-8")
    (root / "binary").write_bytes(bytes(range(256)))
    found = {name: str(root / name.lower()) for name in ("FOLDER", "EMPTY", "FILE", "BINARY")}
    return found | {"FULL": "/dev/full"}  # whoever reads it to its end gets none


@pytest.fixture(autouse=True)
def own_variables() -> Iterator[None]:
    """A command tells its tasks of keys and bounds by variables, which end with its process."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_there_are_hundreds_of_cases_and_every_verb_is_tried_or_left_out() -> None:
    assert len(CASES) > 500
    assert {verb for verb, _ in CASES} == set(NEEDS)
    assert set(NEEDS).isdisjoint(LEFT_OUT)


@pytest.mark.parametrize(
    ("verb", "arguments"), CASES, ids=[f"{verb} {' '.join(words)[:40]!a}" for verb, words in CASES]
)
def test_a_mistake_is_one_line_and_its_exit_code(
    verb: str,
    arguments: list[str],
    places: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def placed(word: str) -> str:
        name, slash, rest = word.partition("/")
        return f"{places[name]}{slash}{rest}" if name in places else word

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mnist-pipeline", *verb.split(), *map(placed, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code in MISTAKES, said
    assert "Traceback" not in said.err
    lines = [line for line in said.err.splitlines() if line.lower().startswith("error: ")]
    assert len(lines) == 1, said.err
    assert len(lines[0]) < MAX_MESSAGE + 100 or lines[0].startswith("Error: ")  # the parser's own words
    assert not list(tmp_path.iterdir()), "something half-written is left"
