"""Schedules on both platforms: what apply makes true, what it leaves alone, never two enabled of a name."""

import dataclasses
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import StorageError, UsageError
from pipeline.platforms import watching
from pipeline.platforms.opening import open_platform
from pipeline.platforms.platform import StoredSchedule
from pipeline.schedules import converge
from pipeline.schedules.converge import Step, Verb
from tests.fakes import remotes
from tests.fakes.kfp_server import KfpServer
from tests.fakes.remotes import Remote, declared


def stored(number: int, digest: str, enabled: bool) -> StoredSchedule:
    return StoredSchedule(
        str(number), "nightly", digest, "0 0 2 * * *", enabled, f"2026-01-01T00:00:{number:02}Z"
    )


def done(step: Step, rows: list[StoredSchedule], digest: str, creates_enabled: bool) -> list[StoredSchedule]:
    """What a platform holds after a step."""
    if step.stored is None:
        return [*rows, stored(50, digest, creates_enabled or step.enabled)]
    if step.verb is Verb.DELETE:
        return [row for row in rows if row != step.stored]
    changed = dataclasses.replace(step.stored, enabled=step.verb is Verb.RESUME)
    return [changed if row == step.stored else row for row in rows]


ROWS = st.lists(st.tuples(st.sampled_from(["new", "old", "older"]), st.booleans()), max_size=5).map(
    lambda rows: [stored(number, digest, enabled) for number, (digest, enabled) in enumerate(rows)]
)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(rows=ROWS, enabled=st.booleans(), creates_enabled=st.booleans())
def test_from_any_state_steps_end_at_what_is_declared(
    rows: list[StoredSchedule], enabled: bool, creates_enabled: bool
) -> None:
    wanted = dataclasses.replace(declared("kfp", enabled=enabled), digest="new")
    firing = sum(row.enabled for row in rows)
    for _ in range(2 * len(rows) + 3):
        step = converge.next_step(wanted, rows, creates_enabled=creates_enabled)
        if step is None:
            break
        rows = done(step, rows, "new", creates_enabled)
        assert sum(row.enabled for row in rows) <= max(1, firing)
        firing = sum(row.enabled for row in rows)
    assert [(row.digest, row.enabled) for row in rows] == [("new", enabled)]


@pytest.fixture(params=remotes.KINDS)
def remote(request: pytest.FixtureRequest) -> Iterator[Remote]:
    with remotes.remote(request.param, page_limit=2) as served:
        yield served


def apply(remote: Remote, **change: object) -> str:
    wanted = declared(remote.kind, **change)  # type: ignore[arg-type]  # the test's own keywords
    return converge.apply(remote.platform(), wanted, lambda _: None)


def test_apply_creates_once_replaces_on_change_and_follows_enabled(remote: Remote) -> None:
    told = [
        apply(remote),
        apply(remote),
        apply(remote, epochs=2),
        apply(remote, epochs=2, enabled=False),
        apply(remote, epochs=2),
        apply(remote, epochs=2),
    ]
    assert told == ["created", "unchanged", "replaced", "paused", "resumed", "unchanged"]
    assert (remote.enabled("nightly"), len(remote.schedules())) == (1, 1)


def test_an_unchanged_schedule_costs_no_change_request(remote: Remote) -> None:
    apply(remote)
    before = len(remote.server.changes())
    apply(remote)
    assert len(remote.server.changes()) == before


def test_schedules_of_others_are_left_alone(remote: Remote) -> None:
    apply(remote)
    [row] = remote.schedules()
    foreign = {**row, "description": "made by hand", "displayName": "nightly"}
    for key in ("recurring_run_id", "name"):
        if key in row:
            foreign[key] = f"{row[key]}0"
    held = getattr(remote.server, "recurring_runs", None) or getattr(remote.server, "schedules")  # noqa: B009
    held["foreign"] = foreign
    apply(remote, epochs=2)
    assert converge.delete(remote.platform(), "nightly", lambda _: None) == 1
    assert remote.schedules() == [foreign]


def test_what_another_environment_declared_is_left_alone(remote: Remote) -> None:
    """Two environments may share a platform, and even an experiment."""
    staging = open_platform(remote.environment.model_copy(update={"name": "staging"}))
    for name in ("nightly", "hourly"):
        converge.apply(staging, declared(remote.kind, name), lambda _: None)
    apply(remote)
    ours = remote.platform()
    assert [row.name for row in ours.schedules()] == ["nightly"]
    assert converge.prune(ours, set(), lambda _: None) == ["nightly"]
    assert converge.delete(ours, "hourly", lambda _: None) == 0
    assert [row.name for row in staging.schedules()] == ["nightly", "hourly"]


def test_cron_concurrency_and_catch_up_arrive(remote: Remote) -> None:
    apply(remote)
    [row] = remote.schedules()
    if remote.kind == "kfp":
        assert row["trigger"]["cron_schedule"]["cron"] == "0 30 2 * * *"
        assert (row["max_concurrency"], row["no_catchup"]) == (1, True)
        assert row["runtime_config"]["parameters"] == {"epochs": 1, "bucket_uri": "gs://example/models"}
    else:
        assert (row["cron"], row["maxConcurrentRunCount"]) == ("TZ=UTC 30 2 * * *", "1")
        job = row["createPipelineJobRequest"]["pipelineJob"]
        assert job["runtimeConfig"]["parameterValues"] == {"epochs": 1, "bucket_uri": "gs://example/models"}
        assert job["labels"] == {"owner": "mnist-pipeline", "version": "abc123-0", "schedule": "nightly"}


@pytest.mark.parametrize("catch_up", [False, True])
def test_what_is_not_the_default_arrives_too(remote: Remote, catch_up: bool) -> None:
    """Vertex AI is told whether to catch up when it resumes, Kubeflow when a schedule is created."""
    for enabled in (False, True):
        wanted = dataclasses.replace(
            declared(remote.kind, enabled=enabled), max_concurrency=2, catch_up=catch_up
        )
        converge.apply(remote.platform(), wanted, lambda _: None)
    [row] = remote.schedules()
    if remote.kind == "kfp":
        assert (row["max_concurrency"], row["no_catchup"]) == (2, not catch_up)
    else:
        assert (row["maxConcurrentRunCount"], row["state"], row["catchUp"]) == ("2", "ACTIVE", catch_up)


def test_catching_up_can_be_asked_of_vertex_for_one_resume() -> None:
    with remotes.remote("vertex") as remote:
        apply(remote, enabled=False)
        converge.resume(remote.platform(), "nightly", lambda _: None, catch_up=True)
        [row] = remote.schedules()
        assert (row["state"], row["catchUp"]) == ("ACTIVE", True)


def elapse(remote: Remote, **time: float) -> int:
    """Lets time pass on a fake Kubeflow; returns how many runs there are then."""
    assert isinstance(remote.server, KfpServer)
    remote.server.elapse(**time)
    return len(remote.runs())


def quiet(_: str) -> None:
    """Nobody reads it."""


@pytest.mark.parametrize("by", ["resume", "apply"])
def test_what_kubeflow_has_missed_is_not_fired_by_resuming(by: str) -> None:
    """It fires a recurring run that is enabled again for the last time that it missed, no_catchup or not."""
    with remotes.remote("kfp") as remote:
        apply(remote)
        assert elapse(remote, days=1) == 1
        converge.pause(remote.platform(), "nightly", quiet)
        assert elapse(remote, days=3) == 1
        if by == "resume":
            assert converge.resume(remote.platform(), "nightly", quiet, catch_up=False)
        else:
            assert apply(remote) == "resumed"
        assert (elapse(remote), remote.enabled("nightly"), len(remote.schedules())) == (1, 1, 1)
        assert elapse(remote, days=1) == 2
        assert apply(remote) == "unchanged"


def test_what_was_created_disabled_misses_nothing_either() -> None:
    with remotes.remote("kfp") as remote:
        apply(remote, enabled=False)
        assert elapse(remote, days=3) == 0
        apply(remote)
        assert (elapse(remote), elapse(remote, days=1)) == (0, 1)


def test_a_replaced_schedule_fires_once_for_a_time_that_the_old_one_has_fired_for() -> None:
    with remotes.remote("kfp") as remote:
        apply(remote)
        assert elapse(remote, days=1) == 1
        assert apply(remote, epochs=2) == "replaced"
        assert (elapse(remote), elapse(remote, days=1)) == (1, 2)


def test_catching_up_is_what_kubeflow_does_when_it_is_declared() -> None:
    with remotes.remote("kfp") as remote:
        wanted = dataclasses.replace(declared("kfp"), catch_up=True)
        converge.apply(remote.platform(), wanted, quiet)
        converge.pause(remote.platform(), "nightly", quiet)
        assert elapse(remote, days=3) == 0
        converge.resume(remote.platform(), "nightly", quiet, catch_up=False)
        assert elapse(remote) == 3


@pytest.mark.parametrize("verb", ["replace", "resume", "delete", "prune"])
def test_a_run_outlives_the_schedule_that_started_it(verb: str) -> None:
    """Kubernetes deletes a workflow with what owns it, in the middle of its work, unless it is orphaned."""
    with remotes.remote("kfp") as remote:
        apply(remote)
        elapse(remote, days=1)
        [row] = remote.runs()
        platform = remote.platform()
        if verb == "replace":
            apply(remote, epochs=2)
        elif verb == "resume":
            converge.pause(platform, "nightly", quiet)
            converge.resume(platform, "nightly", quiet, catch_up=False)
        elif verb == "delete":
            converge.delete(platform, "nightly", quiet)
        else:
            converge.prune(platform, set(), quiet)
        ended = watching.watch(platform, row["run_id"], quiet, timeout_seconds=20, poll_seconds=0)
        assert ended.state == "SUCCEEDED"


def test_what_resuming_left_half_done_is_finished_by_the_next(remote: Remote) -> None:
    """Killed between making the new one and deleting the old one."""
    apply(remote)
    platform = remote.platform()
    converge.pause(platform, "nightly", quiet)
    platform.create_schedule(declared(remote.kind), enabled=True)
    assert (len(remote.schedules()), remote.enabled("nightly")) == (2, 1)
    assert not converge.resume(platform, "nightly", quiet, catch_up=False)
    assert (len(remote.schedules()), remote.enabled("nightly")) == (1, 1)


def test_schedules_of_one_name_that_differ_are_not_resumed(remote: Remote) -> None:
    apply(remote)
    platform = remote.platform()
    platform.create_schedule(declared(remote.kind, epochs=2), enabled=False)
    with pytest.raises(UsageError, match="several schedules of this name; run `schedule apply` first"):
        converge.resume(platform, "nightly", quiet, catch_up=False)


def test_pause_resume_and_delete_by_name(remote: Remote) -> None:
    apply(remote)
    platform = remote.platform()
    assert (converge.pause(platform, "nightly", quiet), remote.enabled("nightly")) == (1, 0)
    assert converge.pause(platform, "nightly", quiet) == 0
    assert (converge.resume(platform, "nightly", quiet, catch_up=False), remote.enabled("nightly")) == (1, 1)
    assert converge.resume(platform, "nightly", quiet, catch_up=False) == 0
    assert (converge.delete(platform, "nightly", quiet), remote.schedules()) == (1, [])
    assert converge.delete(platform, "nightly", quiet) == 0
    with pytest.raises(
        UsageError, match="nightly: the platform holds no such schedule of ours; it holds: none"
    ):
        converge.pause(platform, "nightly", quiet)


def test_more_schedules_than_a_page_holds(remote: Remote) -> None:
    names = [f"s{number}" for number in range(5)]
    for name in names:
        apply(remote, name=name)
    assert [row.name for row in remote.platform().schedules()] == names
    assert apply(remote, name="s4") == "unchanged"


def test_a_refused_caller_changes_nothing(remote: Remote) -> None:
    platform = remote.platform()
    for token, forbidden, status in (("another", False, "401"), (remotes.TOKEN, True, "403")):
        remote.server.token, remote.server.forbidden = token, forbidden
        with pytest.raises(StorageError, match=f"{status}: .*") as error:
            converge.apply(platform, declared(remote.kind), lambda _: None)
        assert "\n" not in str(error.value)
        assert remotes.TOKEN not in str(error.value)
    assert remote.schedules() == []
