"""Whatever is answered, a login page, half a JSON or a row without a field: one line and no false success."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.errors import PipelineError, StorageError
from pipeline.platforms import answers, watching
from pipeline.platforms.platform import Platform
from tests.fakes import remotes
from tests.fakes.loopback import Fault, Json, Request
from tests.fakes.remotes import Remote, declared, submission

LOGIN_PAGE = b"<!doctype html><html><body><form><input name=password></form></body></html>"
GARBAGE = (
    LOGIN_PAGE,
    b"",
    b"null",
    b"[]",
    b'"fine"',
    b'{"runs": [',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"run_id": "1"} {}',
)
RUN_ID: dict[str, str] = {}  # by platform, of its one run
Verb = Callable[[Platform], object]
READING: dict[str, Verb] = {
    "check": lambda platform: platform.check(),
    "runs": lambda platform: platform.runs(limit=10),
    "run": lambda platform: platform.run(RUN_ID[type(platform).__name__]),
    "schedules": lambda platform: platform.schedules(),
}


@pytest.fixture(scope="module", params=remotes.KINDS)
def remote(request: pytest.FixtureRequest) -> Iterator[Remote]:
    """A platform with a failed run and a schedule, that has all that an answer can have."""
    with remotes.remote(request.param) as served:
        served.server.outcome = "FAILED"
        platform = served.platform()
        run, _ = platform.submit(submission())
        watching.watch(platform, run.run_id, lambda _: None, timeout_seconds=20, poll_seconds=0)
        RUN_ID[type(platform).__name__] = run.run_id
        platform.create_schedule(declared(request.param), enabled=True)
        yield served


def requests_of(remote: Remote, verb: Verb) -> list[Request]:
    """The requests that a verb makes, its platform's opening among them."""
    start = len(remote.server.log)
    verb(remote.platform())
    return list(remote.server.log[start:])


def is_optional(request: Request) -> bool:
    """Whether a request asks for what only explains, and may be missing."""
    return request.path.startswith(("/apis/v1beta1", "/apis/v1alpha1"))


def error_of(verb: Verb, remote: Remote) -> PipelineError | None:
    """What the verb raises; anything but a PipelineError of one line fails the test."""
    try:
        verb(remote.platform())
    except PipelineError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 500
        return error
    return None


@pytest.mark.parametrize("verb", READING)
def test_garbage_behind_a_200_is_an_error_wherever_it_comes(remote: Remote, verb: str) -> None:
    requests = requests_of(remote, READING[verb])
    for index, request in enumerate(requests):
        for body in GARBAGE:
            remote.server.faults[len(remote.server.log) + index] = Fault(body=body)
            error = error_of(READING[verb], remote)
            assert isinstance(error, StorageError) != is_optional(request), (request.path, body[:20])
            remote.server.faults.clear()


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 418, 500, 502])
def test_refusals_in_any_words_are_one_line(
    remote: Remote, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.platforms.platform.PAUSES", ())
    for index in range(len(requests_of(remote, READING["run"]))):
        for body in GARBAGE:
            remote.server.faults[len(remote.server.log) + index] = Fault(status=status, body=body)
            error_of(READING["run"], remote)
            remote.server.faults.clear()


def places(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yields where an answer has a field or a row; of rows three, and nothing of what was sent by us."""
    if isinstance(value, dict) and not {"pipelineSpec", "runtime_config", "runtimeConfig"} & set(at):
        for key, inner in value.items():
            yield (*at, key)
            yield from places(inner, (*at, key))
    if isinstance(value, list):
        for index, inner in enumerate(value[:3]):
            yield (*at, index)
            yield from places(inner, (*at, index))


GONE = object()


def changed(answer: Json, place: tuple[str | int, ...], value: object) -> None:
    """Puts something else in that place of an answer, or nothing."""
    inner: Any = answer
    for step in place[:-1]:
        inner = inner[step]
    if value is GONE:
        del inner[place[-1]]
    else:
        inner[place[-1]] = copy.deepcopy(value)


@pytest.mark.parametrize("verb", READING)
def test_any_field_of_any_answer_may_be_missing_or_of_another_kind(remote: Remote, verb: str) -> None:
    answered: list[Json] = []
    remote.server.edit = lambda _, answer: answered.append(copy.deepcopy(answer))
    requests_of(remote, READING[verb])
    tried = 0
    for number, answer in enumerate(answered):
        for place in places(answer):
            for value in (GONE, None, 5, "", "\x1b[2J", [None], {"a": 1}):
                count = iter(range(1000))

                def edit(_: Request, sent: Json, value: object = value) -> None:
                    if next(count) == number:  # noqa: B023  # both are of this very turn
                        changed(sent, place, value)  # noqa: B023

                remote.server.edit = edit
                error_of(READING[verb], remote)
                tried += 1
    remote.server.edit = None
    assert tried >= 7 * sum(len(answer) for answer in answered)


def test_a_row_without_its_optional_fields_is_shown_with_what_is_there(remote: Remote) -> None:
    optional = {"display_name", "state", "created_at", "finished_at", "run_details", "error", "state_history"}
    optional |= {"displayName", "createTime", "endTime", "jobDetail", "pipelineSpec"}

    def edit(_: Request, answer: Json) -> None:
        for row in answer.get("runs") or answer.get("pipelineJobs") or [answer]:
            if "run_id" in row or "pipelineJobs" in row.get("name", ""):
                for key in optional & set(row):
                    del row[key]

    remote.server.edit = edit
    platform = remote.platform()
    [listed] = platform.runs(limit=1)
    shown = platform.run(listed.run_id)
    remote.server.edit = None
    assert (shown.run_id, shown.name, shown.state) == (listed.run_id, "", "PENDING")


def test_an_answer_is_an_object_or_an_error() -> None:
    assert answers.parsed(b'{"a": 1}') == {"a": 1}
    for data in GARBAGE:
        with pytest.raises(ValueError):  # each of them in other words
            answers.parsed(data)


def test_a_field_is_of_its_kind_or_empty() -> None:
    row = json.loads('{"text": "x", "part": {"a": 1}, "rows": [{"b": 2}, 3, null], "number": 1}')
    assert (answers.text(row, "text"), answers.part(row, "part")) == ("x", {"a": 1})
    assert answers.rows(row, "rows") == [{"b": 2}]
    for key in ("number", "missing"):
        assert (answers.text(row, key), answers.part(row, key), answers.rows(row, key)) == ("", {}, [])


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05Z"),
        ("1970-01-01T00:00:00Z", ""),
        ("yesterday", ""),
        (None, ""),
    ],
)
def test_a_time_is_in_seconds_or_empty(told: str | None, expected: str) -> None:
    assert answers.moment({"at": told}, "at") == expected
