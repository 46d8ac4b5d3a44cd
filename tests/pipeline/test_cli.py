"""What people expect of every command line: help, a version, completion, quick answers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from pipeline import environments
from pipeline.cli import app
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
