"""What people expect of every command line: help, a version, completion, quick answers."""

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from components.parameters import REQUIRED
from pipeline import dag, environments
from pipeline.cli import app
from pipeline.images import references
from pipeline.schedules import files
from pipeline.version import VERSION


def paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and every group of commands."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from paths(inner, (*path, name))


@pytest.mark.parametrize("path", list(paths(typer.main.get_command(app))), ids=" ".join)
def test_every_command_explains_itself_in_two_ways(path: tuple[str, ...]) -> None:
    short, long = (CliRunner().invoke(app, [*path, option]) for option in ("-h", "--help"))
    assert short.exit_code == long.exit_code == 0
    assert "Usage: " in short.output
    assert short.output == long.output


SHOWING = {"list", "show", "plan", "preview", "check", "params"}


@pytest.mark.parametrize(
    "path", [path for path in paths(typer.main.get_command(app)) if SHOWING & set(path[-1:])], ids=" ".join
)
def test_every_verb_that_lists_or_shows_has_json(path: tuple[str, ...]) -> None:
    assert " --json " in CliRunner().invoke(app, [*path, "--help"]).output


def test_json_of_what_is_known_here() -> None:
    def printed(*arguments: str) -> Any:
        done = CliRunner().invoke(app, [*arguments, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    images = printed("images", "list", "--tag", "x")
    assert {"task": "lookup", "image": "mnist-pipeline-export:x"} in images
    assert {row["task"] for row in images} == {*references.COMPONENTS, *references.GUESTS}
    first, second = printed("schedule", "preview", "weekly-vertex-example", "-n", "2")
    assert first["time_zone"] == "Europe/Paris"
    local, utc = (datetime.datetime.fromisoformat(first[name]) for name in ("local", "utc"))
    assert local == utc
    assert datetime.datetime.fromisoformat(second["utc"]) > utc


def test_params_has_every_parameter_as_it_is_declared() -> None:
    shown = {row["name"]: row for row in json.loads(CliRunner().invoke(app, ["params", "--json"]).stdout)}
    assert shown.keys() == {name for kind in dag.INPUTS for name in kind.names()}
    for kind in dag.INPUTS:
        for declared in kind.declarations():
            row = shown[declared.name]
            assert (row["allowed"], row["help"]) == (declared.allowed, declared.help)
            assert row["required"] == (declared.default is REQUIRED)
            assert row["required"] or row["default"] == declared.default
    assert [shown[name]["type"] for name in ("epochs", "hidden_units")] == ["int", "list[int]"]
    line = next(row for row in CliRunner().invoke(app, ["params"]).stdout.splitlines() if "epochs" in row)
    assert line == "epochs\tint\t10\tPasses over the training rows. Must be a whole number from 1 to 10000."


def test_an_error_in_json_mode_is_one_line_on_stderr() -> None:
    done = python_m_pipeline("images", "list", "--tag", "latest", "--json")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def python_m_pipeline(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True, timeout=60
    )


def test_it_says_its_name_and_version_however_it_is_started() -> None:
    done = python_m_pipeline("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"mnist-pipeline {VERSION}\n", "")
    assert python_m_pipeline("--help").stdout.startswith("Usage: mnist-pipeline ")


@pytest.mark.parametrize("arguments", [["nope"], ["run", "--nope"], ["models", "list", "--bucket"]])
def test_a_mistyped_command_is_a_usage_error(arguments: list[str]) -> None:
    done = python_m_pipeline(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


@pytest.fixture
def bash(tmp_path: Path) -> Path:
    """A folder for the PATH, with the command that an installed package has."""
    command = tmp_path / "mnist-pipeline"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pipeline "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return tmp_path


def completed(bin_dir: Path, typed: str) -> list[str]:
    """What bash offers for the last word of `typed`, from the script that the command prints for it."""
    script = """
    eval "$(mnist-pipeline --show-completion bash)"
    read -ra COMP_WORDS <<<"$TYPED"
    [[ $TYPED == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    $(complete -p mnist-pipeline | sed 's/.*-F \\([^ ]*\\).*/\\1/') mnist-pipeline
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        env={
            **os.environ,
            "PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}",
            "TYPED": typed,
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",  # else it is whatever runs the tests
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("mnist-pipeline sched", ["schedule"]),
        ("mnist-pipeline models ver", ["verify"]),
        ("mnist-pipeline submit --env ", environments.names()),
        ("mnist-pipeline env check v", ["vertex-example"]),
        ("mnist-pipeline schedule preview ", files.names()),
        ("mnist-pipeline run --runner d", ["docker"]),
        ("mnist-pipeline run -p min_d", ["min_digit_recall="]),
    ],
)
def test_bash_completes_commands_and_what_they_take(bash: Path, typed: str, offered: list[str]) -> None:
    assert completed(bash, typed) == offered
