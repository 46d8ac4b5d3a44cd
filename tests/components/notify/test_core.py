"""notify: one line in the log, one JSON POST, never a failed run, never an address in a log."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.errors import UsageError
from components.notify import core, webhook
from components.notify.component import notify as face
from components.notify.settings import Settings
from components.registry import conclusions
from components.registry.conclusions import Conclusion
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


@pytest.fixture
def bucket_uri(tmp_path: Path) -> str:
    return str(tmp_path / "bucket")


def notify(
    url: str = "", state: str = "FAILED", error: str = "train failed", bucket_uri: str = "/nowhere"
) -> bool:
    return core.notify(
        state=state,
        run="run-1",
        run_id="id-1",
        error_message=error,
        bucket_uri=bucket_uri,
        notify_webhook=url,
        run_page="https://kfp.example/#/runs/{run}",
    )


REJECTED = Conclusion(
    conclusions.NOT_BLESSED, "not blessed: accuracy 0.9612 is below 0.97", 0.9612, "a" * 64, 0.9791
)
PAGE = "https://kfp.example/#/runs/id-1"


def test_a_webhook_gets_the_end_as_slack_reads_it_and_as_a_program_does(
    receiver: Webhook, bucket_uri: str
) -> None:
    conclusions.leave(bucket_uri, "id-1", REJECTED)
    assert notify(f"{receiver.url}/canary", "SUCCEEDED", "", bucket_uri)
    [request] = receiver.log
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "text": "mnist-pipeline run-1: not published, not blessed: accuracy 0.9612 is below 0.97; "
        f"accuracy 0.9612, the champion's (aaaaaaaaaaaa) 0.9791; {PAGE}",
        "pipeline": "mnist-pipeline",
        "run": "run-1",
        "state": "SUCCEEDED",
        "error": "",
        "page": PAGE,
        "conclusion": dataclasses.asdict(REJECTED),
    }


def test_what_it_does_not_know_it_says(bucket_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    notify("", "RUNNING", "", bucket_uri)
    assert "run-1: ENDED; no verdict: it ended before there was one; https" in capsys.readouterr().out
    notify("", "SUCCEEDED", "", "gs:/wrong")
    assert "run-1: SUCCEEDED; verdict unknown: " in capsys.readouterr().out


def test_a_damaged_conclusion_fails_nothing(bucket_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    conclusions.leave(bucket_uri, "id-1", REJECTED)
    [path] = Path(bucket_uri).glob("conclusions/*.json")
    for content in ("", "{}", "[]", '{"format": "mnist-run/1", "verdict": "fine"}'):
        path.write_text(content, encoding="utf-8")
        assert not notify("", "SUCCEEDED", "", bucket_uri)
        assert "verdict unknown: " in capsys.readouterr().out


def test_a_run_of_vertex_is_known_by_its_job(capsys: pytest.CaptureFixture[str]) -> None:
    core.notify(
        state="FAILED",
        run="projects/1/locations/l/pipelineJobs/mnist-1",
        run_id="123",
        error_message="",
        bucket_uri="/nowhere",
        notify_webhook="",
        run_page="https://console/{run}?project=p",
    )
    assert "https://console/mnist-1?project=p" in capsys.readouterr().out


def test_without_a_webhook_the_log_is_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert not notify()
    line = f"mnist-pipeline run-1: FAILED: train failed; no verdict: it ended before there was one; {PAGE}"
    assert capsys.readouterr().out == f"notify: {line}\n"


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


def test_the_face_reads_the_platforms_status(receiver: Webhook, bucket_uri: str) -> None:
    conclusions.leave(bucket_uri, "id-2", Conclusion(conclusions.BLESSED, "blessed: first model", 0.98))
    name = "projects/p/locations/l/pipelineJobs/run-2"
    status = SimpleNamespace(state="FAILED", pipeline_job_resource_name=name, error_message=None)
    face.python_func(
        status=status, bucket_uri=bucket_uri, run_id="id-2", notify_webhook=receiver.url, run_page=""
    )
    expected = f"mnist-pipeline {name}: FAILED; not published, although blessed: first model; accuracy 0.9800"
    assert json.loads(receiver.log[0].body)["text"] == expected


@pytest.mark.parametrize("wrong", ["https://host/", "host/{run}", "ftp://host/{run}", "https://{run}@host"])
def test_a_page_has_a_place_for_the_run(wrong: str) -> None:
    with pytest.raises(UsageError, match=r"run_page=.*: must be https://"):
        Settings(run_page=wrong)
