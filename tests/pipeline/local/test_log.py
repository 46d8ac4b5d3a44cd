"""The log of a local run: all of it in the file, the gist on the terminal, why it failed in one line."""

import os
from pathlib import Path

import pytest

from components.errors import DataError, PipelineError, RetryableError
from pipeline.local.log import RunLog


def read(path: Path, *lines: str) -> RunLog:
    """A log that has taken these lines, each as KFP prints it."""
    log = RunLog(path)
    with log.capturing():
        for line in lines:
            print(f"    {line}")
    return log


def failure(path: Path, *lines: str, code: int = 1) -> PipelineError:
    log = read(path, "[task] train: started", *lines, f"[task] train: ended with exit code {code}")
    assert log.failed
    return log.failed.failure(log.path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


def test_a_person_sees_what_tasks_say_and_the_file_has_everything(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (
        "03:05 - INFO - Executing task 'train'",
        "[task] train: started",
        "[KFP Executor 2026-11-26 INFO]: Got executor_input:",
        "{",
        '    "inputs": "canary"',
        "}",
        "epoch 1/1",
        "",
        "I0000 00:00 cuda",
        "[task] train: ended with exit code 0",
        "Task 'train' finished",
    )
    assert read(path, *lines).failed is None
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["train started", "  epoch 1/1"]
    assert shown[2].startswith("train done in ")
    assert len(shown) == 3
    assert path.read_text(encoding="utf-8") == "".join(f"    {line}\n" for line in lines)


def test_a_tasks_own_line_and_kind_of_error_come_first(path: Path) -> None:
    error = failure(path, "ValueError: noise", "DataError: dataset: is damaged", code=3)
    assert (str(error), type(error)) == ("train: dataset: is damaged", DataError)


def test_a_traceback_is_told_by_its_last_line(path: Path) -> None:
    error = failure(
        path,
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in <module>',
        "KeyError: 'x'",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        '  File "b.py", line 1, in <module>',
        "    raise ValueError",
        "ValueError: no such thing",
        "more of its message",
    )
    assert str(error) == f"train: ValueError: no such thing; see {path}"
    assert error.exit_code == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (137, "train was killed by SIGKILL: last words; see"),
        (134, "train was killed by SIGABRT: last words; see"),
        (127, "train failed with exit code 127: last words; see"),
    ],
)
def test_without_a_traceback_its_end_and_last_words_are_told(path: Path, code: int, words: str) -> None:
    assert str(failure(path, "first words", "last words", code=code)).startswith(words)


def test_without_a_word_its_end_is_told(path: Path) -> None:
    assert str(failure(path, code=1)) == f"train failed with exit code 1, without a word; see {path}"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("RetryableError: stopped by SIGTERM in epoch 3", "train: stopped by SIGTERM in epoch 3"),
        ("nothing", "train: was stopped; a rerun starts it again"),
    ],
)
def test_an_interrupted_run_says_by_what_and_what_a_rerun_does(path: Path, line: str, words: str) -> None:
    error = failure(path, "[task] train: asked to stop by SIGHUP", line, code=75)
    assert str(error) == f"interrupted by SIGHUP: {words}"
    assert isinstance(error, RetryableError)


def test_what_failed_by_itself_keeps_its_error_when_it_is_asked_to_stop(path: Path) -> None:
    error = failure(path, "[task] train: asked to stop by SIGINT", "DataError: dataset: is damaged", code=3)
    assert str(error) == "train: dataset: is damaged"


def test_a_run_that_was_stopped_between_two_tasks_is_interrupted(path: Path) -> None:
    log = read(path, "[task] train: not started, stopped by SIGTERM")
    assert log.failed
    assert str(log.failed.failure(path)).startswith("interrupted by SIGTERM: train: ")
    assert log.started == set()


def test_a_success_after_a_failure_leaves_none(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ("[task] train: started", "[task] train: ended with exit code 1")
    log = read(path, *lines, "[task] train: started", "[task] train: ended with exit code 0")
    assert log.failed is None
    assert "train started again" in capsys.readouterr().out


def test_a_log_that_cannot_be_kept_hides_nothing(path: Path) -> None:
    """The exit handler runs after the task that filled the disk, and the line about it is still last."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = RunLog(path)
    with log.capturing():
        os.close(reader)  # from here on every write to the log fails
        print("[task] ingest: started")
        print("    StorageError: data: cannot be written: No space left on device")
        print("[task] ingest: ended with exit code 5")
        print("[task] notify: started")
        print("[task] notify: ended with exit code 0")
    assert log.failed
    error = log.failed.failure(path)
    assert (log.failed.task, error.exit_code) == ("ingest", 5)
    assert "No space left on device" in str(error)
