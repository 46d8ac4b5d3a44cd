"""notify: one line in the log, one JSON POST, never a failed run, never an address in a log."""

import dataclasses
import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from components.errors import UsageError
from components.notify import core, webhook
from components.notify.component import notify as face
from components.notify.settings import Settings
from tests.fakes.loopback import Fault, Json, Loopback, Request


@dataclasses.dataclass
class Webhook(Loopback):
    """Takes every POST."""

    def answer(self, request: Request) -> Json:
        request.json()
        return {}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between attempts
    with Webhook() as served:
        yield served


def notify(url: str, state: str = "FAILED", error: str = "train failed") -> bool:
    return core.notify(state=state, run="run-1", error_message=error, notify_webhook=url)


def test_a_webhook_gets_the_end_as_slack_reads_it_and_as_a_program_does(receiver: Webhook) -> None:
    assert notify(f"{receiver.url}/canary")
    [request] = receiver.log
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "text": "mnist-pipeline run-1: FAILED: train failed",
        "pipeline": "mnist-pipeline",
        "run": "run-1",
        "state": "FAILED",
        "error": "train failed",
    }


def test_success_is_told_too_without_an_error(receiver: Webhook) -> None:
    assert notify(receiver.url, "SUCCEEDED", "")
    assert json.loads(receiver.log[0].body)["text"] == "mnist-pipeline run-1: SUCCEEDED"


def test_without_a_webhook_the_log_is_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert not notify("")
    assert capsys.readouterr().out == "notify: mnist-pipeline run-1: FAILED: train failed\n"


def test_an_address_can_come_from_a_variable_and_is_never_printed(
    receiver: Webhook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEBHOOK", f"{receiver.url}/canary")
    assert notify("env:WEBHOOK")
    assert receiver.log[0].path == "/canary"
    monkeypatch.delenv("WEBHOOK")
    assert not notify("env:WEBHOOK")
    assert not notify("http://127.0.0.1:9/canary")
    shown = capsys.readouterr()
    assert "the variable WEBHOOK holds no address" in shown.out
    assert "canary" not in shown.out + shown.err


def test_a_receiver_that_is_late_or_silent_is_asked_again(receiver: Webhook) -> None:
    receiver.faults = {0: Fault(status=503), 1: Fault()}
    assert notify(receiver.url)
    assert len(receiver.log) == 3


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (503, webhook.ATTEMPTS)])
def test_a_receiver_that_refuses_does_not_fail_the_run(
    receiver: Webhook, status: int, attempts: int, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.faults = {index: Fault(status=status) for index in range(5)}
    assert not notify(receiver.url)
    assert len(receiver.log) == attempts
    assert f"the webhook was not told: it answered {status}" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["ftp://example.com", "example.com/hook", "env:", "env:a b", "https://"])
def test_a_launcher_refuses_another_form_without_repeating_it(wrong: str) -> None:
    with pytest.raises(UsageError, match=r"notify_webhook: must be https://") as error:
        Settings(notify_webhook=wrong)
    assert "example.com" not in str(error.value)


def test_the_face_reads_the_platforms_status(receiver: Webhook) -> None:
    status = SimpleNamespace(
        state="FAILED", pipeline_job_resource_name="projects/p/run-2", error_message=None
    )
    face.python_func(status=status, notify_webhook=receiver.url)
    assert json.loads(receiver.log[0].body)["text"] == "mnist-pipeline projects/p/run-2: FAILED"
