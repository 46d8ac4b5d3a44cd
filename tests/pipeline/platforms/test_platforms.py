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
from pipeline.platforms.platform import NoAnswerError, NotFoundError, Submission
from tests.fakes import remotes
from tests.fakes.dex import DexGateway
from tests.fakes.loopback import Fault
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
    assert (words[-1], f"second {state}" in words) == (f"run {state}", True)
    if error is None:
        watching.check_succeeded(ended)
    else:
        with pytest.raises(error, match=f"run {run.run_id}: failed at second: .*http"):
            watching.check_succeeded(ended)


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


def test_an_address_without_the_api_is_named() -> None:
    with remotes.remote("kfp") as remote:
        environment = kfp_environment(f"{remote.server.url}/elsewhere")
        with pytest.raises(StorageError, match="no Kubeflow Pipelines API there"):
            open_platform(environment)
