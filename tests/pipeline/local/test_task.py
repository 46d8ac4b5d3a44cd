"""A task's process, as KFP starts it: what it says, how it is stopped, and that nothing outlives it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.images.references import CHECKOUT
from pipeline.local import task
from pipeline.local.events import Event, Kind, read
from pipeline.local.stopping import Stop
from tests.conftest import heed_signals

# A shell that waits for nobody, as KFP's; what it has started saves for a moment.
SAVES = """
python3 -u -c '
import signal, sys, time
def save(*_):
    time.sleep(0.5)
    print("saved", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
print("working", flush=True)
time.sleep(60)
'
"""
IGNORES = "trap '' TERM; echo working; while true; do sleep 0.05; done"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = {"train": task.Settings(None, is_last=False), "notify": task.Settings(None, is_last=True)}
    task.prepare(tmp_path, settings)
    return tmp_path


@contextlib.contextmanager
def started(folder: Path, script: str, name: str = "train") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, *task.command(folder, name, ["sh", "-c", script])[1:]]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        start_new_session=True,
        preexec_fn=heed_signals,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen[str], last: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if lines[-1] == last:
            return lines
    raise AssertionError(f"{last!r} never came: {lines}")


def rest_of(process: subprocess.Popen[str]) -> list[str]:
    return process.communicate(timeout=30)[0].splitlines()


@pytest.mark.parametrize(
    ("script", "code"), [("true", 0), ("exit 75", 75), ("kill -KILL $$", 137), ("sh -c 'kill -ABRT $$'", 134)]
)
def test_a_tasks_start_end_and_exit_code_are_said_around_what_it_prints(
    folder: Path, script: str, code: int
) -> None:
    with started(folder, f"echo one; printf two >&2; {script}") as process:
        first, *_, last = rest_of(process)
    assert (first, process.returncode) == ("[task] train: started", code)
    assert last.removeprefix("two") == f"[task] train: ended with exit code {code}"


def test_what_is_no_text_is_printed_all_the_same(folder: Path) -> None:
    with started(folder, r"printf 'caf\303\251 \377\n'") as process:
        assert rest_of(process)[1] == "café \ufffd"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_this_process_lets_its_task_save_first(folder: Path, number: signal.Signals) -> None:
    with started(folder, SAVES) as process:
        lines_until(process, "working")
        process.send_signal(number)
        assert rest_of(process)[:2] == [f"[task] train: asked to stop by {number.name}", "saved"]
    assert Stop(folder).asked == number.name


def test_a_wish_that_only_the_launcher_has_heard_reaches_the_task(folder: Path) -> None:
    with started(folder, SAVES) as process:
        lines_until(process, "working")
        Stop(folder).ask("SIGHUP")
        assert rest_of(process)[:2] == ["[task] train: asked to stop by SIGHUP", "saved"]


def test_ctrl_c_is_the_launchers_and_reaches_the_task_as_sigterm_only(folder: Path) -> None:
    with started(folder, SAVES) as process:
        lines_until(process, "working")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert "saved" in rest_of(process)


def test_a_task_that_does_not_end_is_ended_once_all_is_given_up(folder: Path) -> None:
    with started(folder, IGNORES) as process:
        lines_until(process, "working")
        stop = Stop(folder)
        stop.ask("SIGINT")
        lines_until(process, "[task] train: asked to stop by SIGINT")
        stop.give_up()
        assert rest_of(process) == ["[task] train: ended with exit code 137"]


def test_a_task_that_does_not_end_has_limited_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.local.stopping.SAVE_SECONDS", 0.3)
    stop = Stop(folder)
    stop.ask("SIGTERM")
    told: list[str] = []
    with subprocess.Popen(["sh", "-c", IGNORES], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with stop.passed_on(lambda: told.append("end"), process.kill):
            assert process.wait(timeout=30) == -signal.SIGKILL
    assert told == ["end"]


def test_a_task_does_not_outlive_its_launcher(folder: Path) -> None:
    """Nobody can tell it anything any more, not even a killed launcher."""
    code = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    command = [sys.executable, *task.command(folder, "train", ["sh", "-c", SAVES])[1:]]
    with subprocess.Popen(
        [sys.executable, "-c", code, *command], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    ) as launcher:
        lines_until(launcher, "working")
        launcher.kill()
        assert rest_of(launcher)[:2] == ["[task] train: asked to stop by its launcher's end", "saved"]


def test_no_task_starts_once_a_run_is_to_stop_but_the_last(folder: Path) -> None:
    Stop(folder).ask("SIGTERM")
    with started(folder, "echo working") as process:
        assert rest_of(process) == ["[task] train: not started, stopped by SIGTERM"]
    assert process.returncode == 75
    with started(folder, "echo told", "notify") as process:
        assert rest_of(process)[1:] == ["told", "[task] notify: ended with exit code 0"]


def test_the_last_task_ends_when_all_is_given_up(folder: Path) -> None:
    stop = Stop(folder)
    stop.ask("SIGTERM")
    with started(folder, IGNORES, "notify") as process:
        lines_until(process, "working")
        stop.give_up()
        assert rest_of(process)[-1] == "[task] notify: ended with exit code 137"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_event_is_read_as_it_was_said(kind: Kind) -> None:
    event = Event("export-2", kind, "" if kind is Kind.STARTED else "75")
    assert read(event.line()) == event


@pytest.mark.parametrize(
    "line", ["", "train: started", "[task] train: something else", "x [task] train: started"]
)
def test_a_tasks_own_words_are_no_event(line: str) -> None:
    assert read(line) is None
