"""Every request is a moment to die at: kills, lost requests, lost answers, 503, a login page with status 200.

A verb is done once undisturbed; then each of its requests is disturbed in turn, those that change something
also after the server has acted. Nothing may be doubled at any time; done again, a verb ends where it should.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import pytest

from components.errors import StorageError
from tests.fakes import clients, remotes
from tests.fakes.clients import TASKS, Client
from tests.fakes.loopback import Fault
from tests.fakes.remotes import Remote
from tests.forks import forking

# verb → what is there before it, and (enabled schedules, held schedules, runs) when it is done.
VERBS: dict[str, tuple[Sequence[str], tuple[int, int, int]]] = {
    "apply_first": ([], (1, 1, 0)),
    "apply_changed": (["apply_first"], (1, 1, 0)),
    "apply_disabled": (["apply_changed"], (0, 1, 0)),
    "pause": (["apply_first"], (0, 1, 0)),
    "resume": (["apply_first", "pause"], (1, 1, 0)),
    "delete": (["apply_first"], (0, 0, 0)),
    "prune": (["apply_first", "apply_others"], (1, 1, 0)),
    "run_now": (["apply_first"], (1, 1, 1)),
    "submit": ([], (0, 0, 1)),
    "cancel": (["submit"], (0, 0, 1)),
}
GARBAGE = (b"<html><form action=/login></form></html>", b"", b"null", b'{"recurring_run_id": "1"')


@pytest.fixture(scope="module", autouse=True)
def fork_server() -> Iterator[None]:
    with forking(*clients.PRELOADED):
        yield


@pytest.fixture(scope="module", params=remotes.KINDS)
def remote(request: pytest.FixtureRequest) -> Iterator[Remote]:
    with remotes.remote(request.param) as served:
        yield served


@dataclasses.dataclass(frozen=True)
class Case:
    """One verb, disturbed at one of its requests."""

    verb: str
    index: int
    changes: bool


def state(remote: Remote) -> tuple[int, int, int]:
    return remote.enabled("nightly"), len(remote.schedules()), len(remote.runs())


def cases(remote: Remote) -> Iterator[Case]:
    """Yields each case with the server holding what is there before the verb."""
    for verb, (earlier, end) in VERBS.items():
        remote.hold(None)
        for name in earlier:
            TASKS[name](remote.kind, remote.server.url)
        before = remote.held()
        remote.hold(before)
        TASKS[verb](remote.kind, remote.server.url)
        assert state(remote) == end
        for index, request in enumerate(list(remote.server.log)):
            remote.hold(before)
            yield Case(verb, index, changes=request.method != "GET")


def test_killed_at_any_request_and_done_again(remote: Remote, capsys: pytest.CaptureFixture[str]) -> None:
    killed = converged = doubled = 0
    for case in cases(remote):
        before = remote.held()
        for when in ("before", "after") if case.changes else ("before",):
            remote.hold(before)
            client = Client(case.verb, remote.kind, remote.server.url)
            remote.server.faults[case.index] = Fault(when=when, strike=client.kill)
            killed += client.run() == -9
            enabled, _, runs = state(remote)
            doubled += enabled > 1 or runs > 1
            TASKS[case.verb](remote.kind, remote.server.url)
            converged += state(remote) == VERBS[case.verb][1]
    with capsys.disabled():
        print(
            f"\n{remote.kind}: killed {killed}, done again {converged}/{killed}, doubled {doubled}/{killed}"
        )
    assert (converged, doubled) == (killed, 0)
    assert killed >= 20


def test_one_lost_request_or_answer_is_made_good(remote: Remote, capsys: pytest.CaptureFixture[str]) -> None:
    total = converged = 0
    for case in cases(remote):
        before = remote.held()
        faults = [Fault(status=503)]
        if case.changes:
            faults += [Fault(when="before"), Fault(when="after")]
        for fault in faults:
            remote.hold(before)
            remote.server.faults[case.index] = fault
            TASKS[case.verb](remote.kind, remote.server.url)
            total += 1
            converged += state(remote) == VERBS[case.verb][1]
    with capsys.disabled():
        print(
            f"\n{remote.kind}: 503, lost request, lost answer: made good, nothing doubled {converged}/{total}"
        )
    assert converged == total


def test_garbage_with_status_200_is_no_success(remote: Remote, capsys: pytest.CaptureFixture[str]) -> None:
    """Each answer in turn; the verb says so in one line, or has what it wanted all the same."""
    total = refused = 0
    for case in cases(remote):
        before = remote.held()
        for number, when in enumerate(("before", "after") if case.changes else ("before",)):
            remote.hold(before)
            body = GARBAGE[(case.index + number) % len(GARBAGE)]
            remote.server.faults[case.index] = Fault(when=when, body=body)
            total += 1
            try:
                TASKS[case.verb](remote.kind, remote.server.url)
            except StorageError as error:
                refused += "\n" not in str(error)
                TASKS[case.verb](remote.kind, remote.server.url)
            assert state(remote) == VERBS[case.verb][1], case
            assert case.verb != "cancel" or "CANCEL" in remote.platform().runs(limit=1)[0].state
    with capsys.disabled():
        print(f"\n{remote.kind}: garbage with status 200: {refused} refused of {total}, no false success")
    assert total >= 20
    assert refused >= total // 2


def test_several_at_one_moment_end_at_one_schedule_and_one_run(remote: Remote) -> None:
    for verb in ("apply_first", "submit"):
        remote.hold(None)
        several = [Client(verb, remote.kind, remote.server.url) for _ in range(4)]
        for client in several:
            client.start()
        assert [client.end() for client in several] == [0] * 4
        left = [run for run in remote.runs() if "CANCEL" not in run["state"]]
        assert (remote.enabled("nightly"), len(left)) == ((1, 0) if verb == "apply_first" else (0, 1))
        assert len(remote.schedules()) == remote.enabled("nightly")
