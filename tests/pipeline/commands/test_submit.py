"""The commands as a user types them, against both platforms' fakes: submit, env, runs, schedule."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from components.errors import PipelineError, UsageError
from pipeline.cli import app
from pipeline.environments import PREFIX
from pipeline.images.references import COMPONENTS
from pipeline.schedules import files
from tests.fakes import remotes
from tests.fakes.kfp_server import KfpServer
from tests.fakes.remotes import Remote
from tests.pipeline.commands.conftest import DIGESTS, ENVIRONMENTS, SCHEDULES, Home


def sent_spec(remote: Remote) -> dict[str, Any]:
    [run] = remote.runs()
    if remote.kind == "vertex":
        spec: dict[str, Any] = run["pipelineSpec"]
        return spec
    [version] = remote.server.versions.values()  # type: ignore[union-attr]  # this one is a KfpServer
    stored: dict[str, Any] = version["pipeline_spec"]
    return stored


def test_submit_waits_for_success_and_is_one_run_when_repeated(home: Home) -> None:
    first = home.run("submit", "-p", "epochs=2", "--wait", "--poll", "0")
    assert first.exit_code == 0, first.output
    assert "submitted: " in first.output
    assert "ingest       SUCCEEDED" in first.output
    assert "run          SUCCEEDED" in first.output
    again = home.run("submit", "-p", "epochs=2", "--wait", "--poll", "0")
    assert (again.exit_code, "submitted before: " in again.output) == (0, True)
    assert len(home.remote.runs()) == 1
    for other in (["-p", "epochs=3"], ["-p", "epochs=2", "--id", "x"], ["-p", "epochs=2", "--again"]):
        assert home.run("submit", *other).exit_code == 0
    assert len(home.remote.runs()) == 4
    assert "submitted before: " in home.run("submit", "-p", "epochs=2", "--id", "x").output


def test_what_is_sent_is_pinned_typed_and_in_the_targets_own_terms(home: Home) -> None:
    home.run("submit", "-p", "epochs=2")
    spec = sent_spec(home.remote)
    text = json.dumps(spec)
    assert all(reference in text for reference in DIGESTS.values())
    [run] = home.remote.runs()
    if home.remote.kind == "kfp":
        inner, platform = spec["pipeline_spec"], spec["platform_spec"]
        train = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
        assert train["nodeSelector"]["labels"] == {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}
        assert run["service_account"] == "pipeline-runner"
        values, accelerator = run["runtime_config"]["parameters"], "nvidia.com/gpu"
    else:
        inner, accelerator = spec, "NVIDIA_TESLA_T4"
        values = run["runtimeConfig"]["parameterValues"]
        assert run["serviceAccount"] == "pipeline-runner@example-project.iam.gserviceaccount.com"
    resources = inner["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert resources["accelerator"]["resourceType"] == accelerator
    assert resources["resourceCpuRequest"] == "4"
    assert (values["epochs"], values["bucket_uri"]) == (2, "gs://example-mnist/models")


def test_dry_run_shows_it_and_sends_nothing(home: Home) -> None:
    with home.remote.server.counting() as sent:
        shown = home.run("submit", "-p", "epochs=2", "--dry-run")
    assert (shown.exit_code, sent) == (0, [])
    assert DIGESTS["train"] in shown.output
    assert "epochs\t2\n" in shown.stdout
    assert "nothing was sent" in shown.output
    assert remotes.TOKEN not in shown.output


def test_a_webhook_secret_of_the_environment_is_what_notify_reads(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}WEBHOOK_SECRET", '{"name": "mnist-notify", "key": "url"}')
    shown = home.run("submit", "--dry-run").output
    expected = "env:NOTIFY_WEBHOOK" if home.remote.kind == "kfp" else ""
    assert f"notify_webhook\t{expected}\n" in shown


def test_a_signing_secret_of_the_environment_is_mounted_for_export(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}SIGNING_SECRET", '{"name": "mnist-signing", "key": "key.pem"}')
    home.run("submit")
    assert ('"secretName": "mnist-signing"' in json.dumps(sent_spec(home.remote))) == (
        home.remote.kind == "kfp"
    )


@pytest.mark.parametrize(("outcome", "code"), [("FAILED", 10), ("HANG", 12)])
def test_wait_exits_by_the_runs_end(home: Home, outcome: str, code: int) -> None:
    home.remote.server.outcome = outcome
    timeout = "0.3" if outcome == "HANG" else "30"
    ended = home.run("submit", "--wait", "--poll", "0.01", "--timeout", timeout)
    assert isinstance(ended.exception, PipelineError)
    assert ended.exception.exit_code == code


def test_an_interrupted_run_is_submitted_again_as_often_as_asked(home: Home) -> None:
    """And the same command once more finds every one of them."""
    home.remote.server.outcome = "FAILED"
    interrupted(home)
    arguments = (
        "submit",
        "--wait",
        "--poll",
        "0",
        "--retries",
        "2",
        "-p",
        "checkpoint_uri=gs://example-mnist/work",
    )
    ended = home.run(*arguments)
    assert isinstance(ended.exception, PipelineError)
    assert (ended.exception.exit_code, len(home.remote.runs())) == (10, 3)
    assert "was interrupted; retry 1 of 2" in ended.output
    assert "was interrupted; retry 2 of 2" in ended.output
    assert home.run(*arguments).output.count("submitted before: ") == 3
    assert len(home.remote.runs()) == 3


def interrupted(home: Home) -> None:
    if isinstance(home.remote.server, KfpServer):
        home.remote.server.message = "pod deleted"
    else:
        home.remote.server.error = {"code": 9, "message": "exited with a non-zero status of 75"}


def test_a_retry_that_succeeds_is_the_end(home: Home) -> None:
    interrupted(home)
    home.remote.server.outcome = "FAILED"
    home.run("submit", "--wait", "--poll", "0")
    home.remote.server.outcome = "SUCCEEDED"
    ended = home.run("submit", "--wait", "--poll", "0", "--retries", "5")
    assert (ended.exit_code, len(home.remote.runs())) == (0, 2), ended.output


def test_what_would_only_happen_again_is_not_submitted_again(home: Home) -> None:
    home.remote.server.outcome = "FAILED"
    ended = home.run("submit", "--wait", "--poll", "0", "--retries", "2")
    assert isinstance(ended.exception, PipelineError)
    assert len(home.remote.runs()) == 1
    assert "--retries=1: needs --wait" in home.refused("submit", "--retries", "1")


def test_a_schedules_run_now_is_retried_too(home: Home) -> None:
    home.remote.server.outcome = "FAILED"
    interrupted(home)
    ended = home.run(
        "schedule", "run-now", SCHEDULES[home.remote.kind], "--wait", "--poll", "0", "--retries", "1"
    )
    assert isinstance(ended.exception, PipelineError)
    assert len(home.remote.runs()) == 2


VERBS = [
    ["submit"],
    ["runs", "list"],
    ["runs", "show", "run-1"],
    ["runs", "show", "run-1", "--wait"],
    ["runs", "cancel", "run-1"],
    *(["schedule", verb] for verb in ("plan", "apply", "prune", "list")),
    *(["schedule", verb, "NAME"] for verb in ("pause", "resume", "delete", "run-now")),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_login_page_is_an_error_of_every_verb(home: Home, verb: list[str]) -> None:
    home.remote.server.login_page = b"<!doctype html><html><form>Log in</form></html>"
    line = home.refused(*(SCHEDULES[home.remote.kind] if word == "NAME" else word for word in verb))
    assert "answers with a web page" in line


def test_a_login_page_is_an_error_of_env_check_too(home: Home) -> None:
    home.remote.server.login_page = b"<!doctype html><html><form>Log in</form></html>"
    checked = CliRunner().invoke(app, ["env", "check", ENVIRONMENTS[home.remote.kind], "--connect"])
    assert isinstance(checked.exception, PipelineError)
    assert "answers with a web page" in str(checked.exception)


def test_runs_are_listed_shown_and_canceled(home: Home) -> None:
    home.remote.server.outcome = "HANG"
    run_id = home.run("submit").output.split("submitted: ")[1].split()[0]
    assert run_id in home.run("runs", "list").output
    assert "canceling" in home.run("runs", "cancel", run_id).output
    ended = home.run("runs", "show", run_id, "--wait", "--poll", "0")
    assert isinstance(ended.exception, PipelineError)
    assert ended.exception.exit_code == 11
    assert "state\tCANCELED\n" in home.run("runs", "show", run_id).output
    assert "has ended already: CANCELED" in home.run("runs", "cancel", run_id).output
    assert "nope" in home.refused("runs", "show", "nope")


def test_bad_input_is_one_line_and_nothing_is_sent(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "epoch: no such parameter (from -p); did you mean epochs?" in home.refused(
        "submit", "-p", "epoch=2"
    )
    assert "epochs='ten': must be a whole number (from -p)" in home.refused("submit", "-p", "epochs=ten")
    assert "must be gs://bucket/prefix" in home.refused("submit", "-p", "bucket_uri=output/bucket")
    assert "--id and --again" in home.refused("submit", "--id", "x", "--again")
    others = dict.fromkeys(COMPONENTS, DIGESTS["ingest"])
    home.digests_path.write_text(json.dumps(others), encoding="utf-8")
    assert "train is image mnist-pipeline-ingest, not mnist-pipeline-train" in home.refused("submit")
    tagged = DIGESTS | {"train": "registry.example/team/mnist-pipeline-train:latest"}
    home.digests_path.write_text(json.dumps(tagged), encoding="utf-8")
    assert "must be name@sha256" in home.refused("submit")
    home.digests_path.unlink()
    line = home.refused("submit")
    assert "digests.json: no such file" in line
    assert ENVIRONMENTS[home.remote.kind] in line
    monkeypatch.delenv(f"{PREFIX}TOKEN")
    assert "auth=bearer needs MNIST_PIPELINE_TOKEN" in home.refused("runs", "list")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("PROJEKT", "x", "MNIST_PIPELINE_PROJEKT: no such setting; known: "),
        ("NODES__COUNT", "0", "MNIST_PIPELINE_NODES__COUNT: "),
        ("NODES__COUNTS", "1", "MNIST_PIPELINE_NODES__COUNTS: no such key for this target"),
        ("TIME_ZONE", "CET+1", "MNIST_PIPELINE_TIME_ZONE: "),
    ],
)
def test_a_wrong_key_stops_every_command(
    home: Home, key: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}{key}", value)
    for command in (["submit"], ["runs", "list"], ["schedule", "plan"], ["schedule", "apply"]):
        assert expected in home.refused(*command)


def test_a_count_of_no_accelerators_is_refused_and_not_ignored(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}NODES__ACCELERATOR", "none")
    monkeypatch.setenv(f"{PREFIX}NODES__COUNT", "2")
    assert home.refused("submit") == f"{PREFIX}NODES: count=2: needs an accelerator"


def test_schedule_commands_from_plan_to_prune(home: Home) -> None:
    name = SCHEDULES[home.remote.kind]

    def said(*arguments: str) -> str:
        result = home.run("schedule", *arguments)
        assert result.exit_code == 0, result.output
        return " ".join(result.stdout.split())

    assert said("plan") == f"name outcome {name} created"
    assert (said("apply"), said("apply"), said("plan")) == (
        f"{name} created",
        f"{name} unchanged",
        f"name outcome {name} unchanged",
    )
    assert f"{name} true" in said("list")
    assert (said("pause", name), said("plan")) == (f"{name} paused", f"name outcome {name} resumed")
    assert (said("resume", name), home.remote.enabled(name)) == (f"{name} resumed", 1)
    assert said("run-now", name).startswith("submitted: ")
    assert "submitted before: " in said("run-now", name)
    assert said("run-now", name, "--again").startswith("submitted: ")
    assert len(home.remote.runs()) == 2
    assert (said("prune"), home.remote.enabled(name)) == ("", 1)
    assert (said("delete", name), home.remote.schedules()) == (f"{name} deleted", [])
    assert "no such schedule in" in home.refused("schedule", "apply", "nope")
    other = SCHEDULES["vertex" if home.remote.kind == "kfp" else "kfp"]
    assert (
        f"environment={ENVIRONMENTS['vertex' if home.remote.kind == 'kfp' else 'kfp']}, not"
        in home.refused("schedule", "apply", other)
    )


def printed(home: Home, *arguments: str) -> Any:
    """What a command prints as JSON; all of stdout is that."""
    result = home.run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_has_a_run_from_its_submission_to_its_end(home: Home) -> None:
    wanted = printed(home, "submit", "-p", "epochs=2", "--dry-run")
    assert (wanted["parameters"]["epochs"], wanted["images"]["train"]) == (2, DIGESTS["train"])
    submitted = printed(home, "submit", "-p", "epochs=2")
    assert submitted["is_new"]
    ended = printed(home, "runs", "show", submitted["run_id"], "--wait", "--poll", "0")
    assert (ended["run_id"], ended["state"], ended["error"]) == (submitted["run_id"], "SUCCEEDED", "")
    assert {task["name"]: task["state"] for task in ended["tasks"]}["train"] == "SUCCEEDED"
    assert printed(home, "runs", "show", submitted["run_id"]) == ended
    waited = printed(home, "submit", "-p", "epochs=2", "--wait", "--poll", "0")
    assert (waited["state"], waited["is_new"]) == ("SUCCEEDED", False)
    [listed] = printed(home, "runs", "list")
    assert {name: ended[name] for name in listed} == listed


def test_json_of_a_failed_run_is_whole_and_the_error_one_line(home: Home) -> None:
    home.remote.server.outcome = "FAILED"
    for command in (["submit"], ["runs", "show", home.run("submit", "--json").stdout.split('"')[3]]):
        ended = home.run(*command, "--wait", "--poll", "0", "--json")
        assert json.loads(ended.stdout)["state"] == "FAILED"
        assert isinstance(ended.exception, PipelineError)
        assert ended.exception.exit_code == 10


def test_json_has_schedules_as_planned_and_as_they_are_held(home: Home) -> None:
    name = SCHEDULES[home.remote.kind]
    assert printed(home, "schedule", "list") == []
    assert printed(home, "schedule", "plan") == [{"name": name, "outcome": "created"}]
    home.run("schedule", "apply")
    [held] = printed(home, "schedule", "list")
    assert (held["name"], held["enabled"]) == (name, True)
    assert files.named(name).expression().text in held["cron"]
    assert printed(home, "schedule", "run-now", name)["is_new"]


def test_a_schedule_is_replaced_when_its_images_change(home: Home) -> None:
    home.run("schedule", "apply")
    changed = {name: reference.replace("a" * 64, "b" * 64) for name, reference in DIGESTS.items()}
    home.digests_path.write_text(json.dumps(changed), encoding="utf-8")
    assert "replaced" in home.run("schedule", "apply").output
    assert len(home.remote.schedules()) == 1


def test_env_check_names_every_problem_and_can_ask_the_platform(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ENVIRONMENTS[home.remote.kind]
    fine = CliRunner().invoke(app, ["env", "check", name, "--connect"])
    assert (fine.exit_code, fine.stdout) == (0, f"{name}: fine\n")
    home.remote.server.token = "another"
    home.digests_path.unlink()
    both = CliRunner().invoke(app, ["env", "check", name, "--connect"])
    assert "digests.json: no such file" in both.stderr
    assert isinstance(both.exception, PipelineError)
    assert "401" in str(both.exception)
    as_json = CliRunner().invoke(app, ["env", "check", name, "--connect", "--json"])
    problems = json.loads(as_json.stdout)["problems"]
    assert [problem["exit_code"] for problem in problems] == [2, 5]
    assert as_json.exception.args == both.exception.args  # type: ignore[union-attr]


def test_environments_are_listed_with_what_is_wrong_with_them(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed() -> dict[str, Any]:
        shown = CliRunner().invoke(app, ["env", "list", "--json"])
        return {row["name"]: row for row in json.loads(shown.stdout)}

    assert listed()["local"] == {"name": "local", "target": "local", "error": None}
    monkeypatch.setenv(f"{PREFIX}NODES__COUNT", "0")
    row = listed()[ENVIRONMENTS[home.remote.kind]]
    assert (row["target"], f"{PREFIX}NODES__COUNT" in row["error"]) == (None, True)
    assert row["error"] in CliRunner().invoke(app, ["env", "list"]).stdout


def test_the_local_environment_has_a_dry_run_but_no_schedules() -> None:
    shown = CliRunner().invoke(app, ["submit", "--env", "local", "--dry-run", "-p", "epochs=2"])
    assert "bucket_uri\toutput/bucket\n" in shown.stdout
    for command in (["schedule", "list"], ["runs", "list"]):
        refused = CliRunner().invoke(app, [*command, "--env", "local"])
        assert isinstance(refused.exception, UsageError)
        assert "--env=local: target local runs here" in str(refused.exception)
    unknown = CliRunner().invoke(app, ["submit", "--env", "nowhere"])
    assert "--env=nowhere: no such environment" in str(unknown.exception)
