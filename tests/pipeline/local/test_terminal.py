"""A run whose output nobody takes any more goes on."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.images.references import CHECKOUT

PRINTS = """
import sys
from pipeline import streams
from pipeline.local.terminal import Terminal

streams.prepare()
terminal = Terminal()
sys.stdin.read()  # until nobody reads
for _ in range(1000):
    terminal.print("[bold]many[/] words" * 10)
print("and a word of another")
print("done", file=sys.stderr)
"""


def run_until_done(stdout: int, reader: int | None) -> subprocess.CompletedProcess[str]:
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    ) as process:
        os.close(stdout)
        if reader is not None:
            os.close(reader)
        _, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stderr=errors)


def closed_pipe() -> tuple[int, int | None]:
    reader, writer = os.pipe()
    return writer, reader


def dropped_terminal() -> tuple[int, int | None]:
    reader, writer = pty.openpty()
    return writer, reader


def full_disk() -> tuple[int, int | None]:
    return os.open("/dev/full", os.O_WRONLY), None


@pytest.mark.parametrize("stdout", [closed_pipe, dropped_terminal, full_disk])
def test_a_stdout_that_takes_nothing_is_no_error(stdout: Callable[[], tuple[int, int | None]]) -> None:
    if stdout is full_disk and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = run_until_done(*stdout())
    assert (done.returncode, done.stderr) == (0, "done\n")
