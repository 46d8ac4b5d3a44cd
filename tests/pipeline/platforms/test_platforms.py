"""Runs on both platforms, by their own clients: submitted once, watched, canceled, refused in one line."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from components.errors import StorageError, UsageError
from pipeline.platforms import watching
from pipeline.platforms.opening import open_platform
from pipeline.platforms.platform import NoAnswerError, NotFoundError, Platform, Run, Submission, Task
from tests.fakes import remotes
from tests.fakes.dex import DexGateway
from tests.fakes.loopback import Fault, Json, Loopback, RefusedError, Request
from tests.fakes.remotes import Remote, submission


@pytest.fixture(params=remotes.KINDS)
def remote(request: pytest.FixtureRequest) -> Iterator[Remote]:
    with remotes.remote(request.param, page_limit=2) as served:
        yield served


def test_a_repeated_submission_is_one_run(remote: Remote) -> None:
    first, is_new = remote.platform().submit(submission())
    again, is_new_again = remote.platform().submit(submission())
    assert (is_new, is_new_again, len(remote.runs())) == (True, False, 1)
    assert (first.run_id, first.name) == (again.run_id, "run-1")
    assert first.run_id in first.url
    remote.platform().submit(submission(run_name="run-2"))
    assert len(remote.runs()) == 2


def test_the_package_is_uploaded_once() -> None:
    with remotes.remote("kfp") as remote:
        for number in range(3):
            remote.platform().submit(submission(run_name=f"run-{number}"))
        uploads = [request for request in remote.server.changes() if "upload_version" in request]
        [version] = remote.server.versions.values()  # type: ignore[union-attr]  # this one is a KfpServer
        assert (len(uploads), version["name"]) == (1, "abc123-0")


@pytest.mark.parametrize(
    ("outcome", "state", "error"),
    [("SUCCEEDED", "SUCCEEDED", None), ("FAILED", "FAILED", watching.RunFailedError)],
)
def test_watch_reports_each_change_and_the_end(
    remote: Remote, outcome: str, state: str, error: type[Exception] | None
) -> None:
    remote.server.outcome = outcome
    platform = remote.platform()
    run, _ = platform.submit(submission())
    told: list[str] = []
    ended = watching.watch(platform, run.run_id, told.append, timeout_seconds=20, poll_seconds=0)
    assert ended.state == state
    words = [" ".join(line.split()) for line in told]
    assert len(words) == len(set(words))
    assert words.index("first RUNNING") < words.index("first SUCCEEDED")
    reason = {"kfp": ": DataError: the archive is damaged", "vertex": ": FAILED_PRECONDITION: The replica"}
    expected = f"second {state}{reason[remote.kind] if error else ''}"
    assert words[-1] == f"run {state}"
    assert any(line.startswith(expected) for line in words)
    assert {line.split()[0] for line in words} == {"first", "second", "run"}
    if error is None:
        watching.check_succeeded(ended)
    else:
        with pytest.raises(error, match=f"run {run.run_id}: failed at second{reason[remote.kind]}.*http"):
            watching.check_succeeded(ended)


def watched(platform: Platform, run_id: str) -> Run:
    return watching.watch(platform, run_id, lambda _: None, timeout_seconds=20, poll_seconds=0)


def test_kfp_shows_its_own_tasks_with_attempts_and_without_those_it_had_no_need_of() -> None:
    with remotes.remote("kfp", outcome="FAILED", failing="first", deleted_pods={"first": 2}) as remote:
        platform = remote.platform()
        run, _ = platform.submit(submission())
        ended = watched(platform, run.run_id)
        reason = "DataError: the archive is damaged"
        assert ended.tasks == (Task("first", "FAILED", 3, reason), Task("second", "SKIPPED"))
        remote.server.has_v1 = False  # type: ignore[union-attr]  # this one is a KfpServer
        shown = remote.platform().run(run.run_id)
        assert shown.tasks == (Task("first", "FAILED"), Task("second", "SKIPPED"))


def test_kfp_says_what_killed_a_pod_and_not_what_it_wrote_before() -> None:
    with remotes.remote("kfp", outcome="FAILED", message="Error (exit code 143)") as remote:
        platform = remote.platform()
        run, _ = platform.submit(submission())
        assert watched(platform, run.run_id).tasks[1].reason == "Error (exit code 143)"


def test_a_run_of_which_nothing_is_known_yet_has_no_tasks() -> None:
    with remotes.remote("kfp", has_v1=False) as remote:
        platform = remote.platform()
        run, _ = platform.submit(submission())
        assert (platform.run(run.run_id).tasks, run.state) == ((), "PENDING")


def test_vertex_shows_its_own_tasks() -> None:
    error = {"code": 14, "message": "try again later"}
    with remotes.remote("vertex", outcome="FAILED", failing="first", error=error) as remote:
        platform = remote.platform()
        run, _ = platform.submit(submission())
        assert watched(platform, run.run_id).tasks == (
            Task("first", "FAILED", 1, "UNAVAILABLE: try again later"),
            Task("second", "SKIPPED"),
        )


def test_watch_outlasts_a_silent_platform(remote: Remote) -> None:
    platform = remote.platform()
    run, _ = platform.submit(submission())
    told: list[str] = []
    next_request = len(remote.server.log)
    remote.server.faults[next_request + 1] = Fault(status=503)
    ended = watching.watch(platform, run.run_id, told.append, timeout_seconds=20, poll_seconds=0)
    assert ended.state == "SUCCEEDED"
    assert any("no answer, still waiting" in line for line in told)


def test_a_run_that_outlives_the_wait_goes_on(remote: Remote) -> None:
    remote.server.outcome = "HANG"
    platform = remote.platform()
    run, _ = platform.submit(submission())
    with pytest.raises(watching.WaitTimeoutError, match=r"not ended after 0.05 s; it goes on"):
        watching.watch(platform, run.run_id, lambda _: None, timeout_seconds=0.05, poll_seconds=0.01)
    platform.cancel(run.run_id)
    ended = watching.watch(platform, run.run_id, lambda _: None, timeout_seconds=20, poll_seconds=0)
    assert ended.state == "CANCELED"
    with pytest.raises(watching.RunCanceledError):
        watching.check_succeeded(ended)


def test_failed_canceled_and_timeout_have_codes_of_their_own() -> None:
    codes = [
        kind.exit_code
        for kind in (watching.RunFailedError, watching.RunCanceledError, watching.WaitTimeoutError)
    ]
    assert len(set(codes)) == 3
    assert not set(codes) & {0, 1, 2, 3, 4, 5, 75}


def test_runs_are_listed_newest_first_over_pages(remote: Remote) -> None:
    platform = remote.platform()
    for number in range(5):
        platform.submit(submission(run_name=f"run-{number}"))
    assert [run.name for run in platform.runs(limit=3)] == ["run-4", "run-3", "run-2"]
    assert len(platform.runs(limit=50)) == 5


def test_an_unknown_run_is_not_found(remote: Remote) -> None:
    with pytest.raises(NotFoundError) as error:
        remote.platform().run("nope")
    assert "nope" in str(error.value)


def test_a_parameter_of_the_wrong_type_starts_nothing(remote: Remote) -> None:
    wrong = Submission("run-1", submission().package, {"epochs": "ten"})
    with pytest.raises((StorageError, UsageError), match="epochs"):
        remote.platform().submit(wrong)
    assert remote.runs() == []


def test_an_unreachable_host_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.platforms.platform.PAUSES", (0.0,))
    for kind in remotes.KINDS:
        environment = remotes.environment_at(kind, "http://127.0.0.1:9")
        with pytest.raises(NoAnswerError, match=r"cannot be reached: .*Connection refused") as error:
            open_platform(environment).check()
        assert "environment test" in str(error.value)
        assert len(str(error.value)) < 150


def test_a_platform_that_stalls_is_given_up_and_asked_again(remote: Remote) -> None:
    platform = open_platform(remote.environment.model_copy(update={"timeout_seconds": 1}))
    remote.server.faults[len(remote.server.log)] = Fault(strike=lambda: time.sleep(1.3))
    run, is_new = platform.submit(submission())
    assert (is_new, run.name, len(remote.runs())) == (True, "run-1", 1)


def test_check_says_what_is_wrong_with_the_caller(remote: Remote) -> None:
    remote.platform().check()
    remote.server.forbidden = True
    with pytest.raises(StorageError, match="403"):
        remote.platform().check()
    remote.server.forbidden, remote.server.token = False, "another"
    with pytest.raises(StorageError, match=r"401: .*expired"):
        remote.platform().check()


def test_a_canceled_run_is_canceled_in_lists_too(remote: Remote) -> None:
    """Kubeflow Pipelines ends it FAILED, and tells in its history alone that somebody wanted it so."""
    remote.server.outcome = "HANG"
    platform = remote.platform()
    run, _ = platform.submit(submission())
    assert watching.cancel_run(platform, run.run_id) == "CANCELING"
    watched(platform, run.run_id)
    assert [each.state for each in platform.runs(limit=5)] == ["CANCELED"]
    assert watching.cancel_run(platform, run.run_id) == "CANCELED"
    assert remote.runs()[0]["state"] == ("FAILED" if remote.kind == "kfp" else "PIPELINE_STATE_CANCELLED")


def kfp_environment(url: str, **change: Any) -> Any:
    return remotes.environment_at("kfp", url).model_copy(update=change)


def test_bearer_token_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with remotes.remote("kfp") as remote:
        environment = kfp_environment(remote.server.url, token=None, token_path=path)
        with pytest.raises(UsageError, match=r"token_path=.*: cannot be read"):
            open_platform(environment)
        path.write_text(f"{remotes.TOKEN}\n", encoding="utf-8")
        open_platform(environment).check()


def test_service_account_token_is_read_anew_for_each_request(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(remotes.TOKEN, encoding="utf-8")
    with remotes.remote("kfp") as remote:
        environment = kfp_environment(remote.server.url, auth="service-account", token=None, token_path=path)
        platform = open_platform(environment)
        platform.check()
        path.write_text("rotated", encoding="utf-8")
        remote.server.token = "rotated"
        platform.check()


def test_dex_login_gives_a_session_and_a_wrong_password_none() -> None:
    with DexGateway(users={"user@example.com": "canary"}) as server:
        access = {"auth": "dex", "token": None, "dex_username": SecretStr("user@example.com")}
        environment = kfp_environment(server.url, **access, dex_password=SecretStr("canary"))
        open_platform(environment).submit(submission())
        assert len(server.runs) == 1
        wrong = environment.model_copy(update={"dex_password": SecretStr("canary2")})
        with pytest.raises(StorageError, match="Dex refused the user name or password") as error:
            open_platform(wrong)
        assert "canary" not in str(error.value)
        cookie = SecretStr("oauth2_proxy_kubeflow=session-1")
        open_platform(environment.model_copy(update={"cookie": cookie})).check()
        without = environment.model_copy(update={"dex_password": None})
        with pytest.raises(UsageError, match="auth=dex needs MNIST_PIPELINE_COOKIE"):
            open_platform(without)
        stranger = environment.model_copy(update={"auth": "none"})
        with pytest.raises(StorageError, match="answers with a web page, as a login does"):
            open_platform(stranger)


def test_a_multi_user_installation_gets_the_namespace_everywhere() -> None:
    with remotes.remote("kfp", namespace="mnist") as remote:
        environment = kfp_environment(remote.server.url, namespace="mnist")
        open_platform(environment).submit(submission())
        assert len(remote.runs()) == 1
        with pytest.raises(StorageError, match="amespace"):
            open_platform(kfp_environment(remote.server.url)).check()


def test_a_namespace_where_there_is_none_is_refused_by_check() -> None:
    with remotes.remote("kfp") as remote:
        platform = open_platform(kfp_environment(remote.server.url, namespace="mnist"))
        with pytest.raises(UsageError, match=r"namespace=mnist: .* serves a single user and ignores it"):
            platform.check()


@pytest.mark.parametrize("name", ["a+b", "100%", "a%20b", "%zz", "é & c", "x" * 128, '"quoted" \\ name'])
def test_an_experiment_may_be_called_anything(name: str) -> None:
    """The server decodes a filter once more than HTTP does."""
    with remotes.remote("kfp") as remote:
        for _ in range(2):
            platform = open_platform(kfp_environment(remote.server.url, experiment=name))
            run, _ = platform.submit(submission())
        assert len(remote.server.experiments) == 1  # type: ignore[union-attr]  # this one is a KfpServer
        assert [each.run_id for each in platform.runs(limit=5)] == [run.run_id]


def test_the_servers_own_words_reach_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.platforms.platform.PAUSES", ())
    with remotes.remote("kfp") as remote:
        platform = open_platform(kfp_environment(remote.server.url, experiment="x" * 129))
        with pytest.raises(NoAnswerError, match=r"500: Failed to add experiment .*too long"):
            platform.submit(submission())


def test_a_server_of_before_pipelines_could_be_compiled_is_named() -> None:
    class OldServer(Loopback):
        def answer(self, request: Request) -> Json:
            if request.path == "/apis/v1beta1/healthz":
                return {"commit_sha": "abc", "tag_name": "1.8.5", "multi_user": False}
            raise RefusedError(404, "Not Found")

    with (
        OldServer() as server,
        pytest.raises(StorageError, match=r"Kubeflow Pipelines 1\.8\.5: .* needs 2\.x"),
    ):
        open_platform(kfp_environment(server.url))


def test_an_address_without_the_api_is_named() -> None:
    with remotes.remote("kfp") as remote:
        environment = kfp_environment(f"{remote.server.url}/elsewhere")
        with pytest.raises(StorageError, match="no Kubeflow Pipelines API there"):
            open_platform(environment)
