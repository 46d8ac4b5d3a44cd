"""What a task died of, and whether a new run would go on from there."""

import pytest

from pipeline.platforms import failures
from pipeline.platforms.platform import Run, Task


def run(*reasons: str, state: str = "FAILED", error: str = "") -> Run:
    tasks = tuple(Task(f"task-{number}", "FAILED", 1, reason) for number, reason in enumerate(reasons))
    return Run("1", "run-1", state, "http://host/1", tasks=(Task("fine", "SUCCEEDED"), *tasks), error=error)


@pytest.mark.parametrize(
    "reason",
    [
        "RetryableError: interrupted in epoch 3; saved",
        "StorageError: gs://bucket: 503",
        "pod deleted",
        "Error (exit code 143)",
        "Error (exit code 137)",
        "The node was low on resource: ephemeral-storage",
        "Pod was active on the node longer than the specified deadline",
        "pod deleted; Max duration limit exceeded",
        "Evicted: preempted by another pod",
        "FAILED_PRECONDITION: The replica workerpool0-0 exited with a non-zero status of 75.",
        "FAILED_PRECONDITION: The replica workerpool0-0 exited with a non-zero status of 5.",
        "FAILED_PRECONDITION: The replica workerpool0-0 exited with a non-zero status of 124.",
        "UNAVAILABLE: try again later",
        "RESOURCE_EXHAUSTED: no NVIDIA_TESLA_T4 left",
    ],
)
def test_what_was_interrupted_can_go_on(reason: str) -> None:
    assert failures.is_resumable(run(reason))


@pytest.mark.parametrize(
    "reason",
    [
        "UsageError: epochs=0: must be positive",
        "DataError: the archive is damaged",
        "GateError: the gate is closed: not blessed: deadline",
        "ValueError: UNAVAILABLE",
        "tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM",
        "OOMKilled (exit code 137)",
        "Error (exit code 1)",
        "FAILED_PRECONDITION: The replica workerpool0-0 exited with a non-zero status of 3.",
        "",
    ],
)
def test_what_would_happen_again_cannot(reason: str) -> None:
    assert not failures.is_resumable(run(reason))


def test_every_task_that_failed_must_be_able_to() -> None:
    assert not failures.is_resumable(run("pod deleted", "DataError: damaged"))
    assert failures.is_resumable(run("pod deleted", "Error (exit code 143)"))


def test_only_a_failed_run_can() -> None:
    for state in ("SUCCEEDED", "CANCELED", "RUNNING"):
        assert not failures.is_resumable(run("pod deleted", state=state))
    assert failures.is_resumable(run(error="UNAVAILABLE: the service is restarting"))


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("epoch 1\nDataError: damaged\nF1125 main.go:49] failed: exit status 3\n", "DataError: damaged"),
        ("Traceback (most recent call last):\n  File x\nValueError: bad\n", "ValueError: bad"),
        ("keras.errors.OddError: first\nMemoryError\n", "MemoryError"),
        ("epoch 1\n", ""),
        ("", ""),
        ("DataError: long ago\n" + "epoch\n" * 100, ""),
        ("<html><body>Error: login</body></html>", ""),
        ('{"error_message":"Failed to read logs: Error: not found"}', ""),
        ("DataError: \x1b[31mred\n", "DataError: ?[31mred"),
    ],
)
def test_the_last_error_of_a_log_is_its_reason(log: str, expected: str) -> None:
    assert failures.error_line(log) == expected


def test_who_was_killed_has_nothing_to_say() -> None:
    assert [failures.was_killed(message) for message in ("Error (exit code 1)", "")] == [False, False]
    assert [failures.was_killed(message) for message in ("Error (exit code 137)", "pod deleted")] == [
        True,
        True,
    ]
