"""How a run ended, in one line: never `SUCCEEDED` and nothing else."""

import pytest

from components.notify import message
from components.registry import conclusions
from components.registry.conclusions import Conclusion

VERSION, CHAMPION = "a" * 64, "b" * 64
PUBLISHED = Conclusion(
    conclusions.PUBLISHED, "blessed: beats 0.9791", 0.9806, CHAMPION, 0.9791, VERSION, "gs://b/versions/a"
)


def said(state: str, conclusion: Conclusion | None, error: str = "", page: str = "") -> str:
    text = message.one_line(
        state=state, run="run-1", error=error, conclusion=conclusion, unknown="no verdict", page=page
    )
    return text.removeprefix("mnist-pipeline run-1: ")


@pytest.mark.parametrize("state", ["SUCCEEDED", "RUNNING", "UNKNOWN"])
@pytest.mark.parametrize(
    ("conclusion", "expected"),
    [
        (
            PUBLISHED,
            "published aaaaaaaaaaaa, blessed: beats 0.9791; accuracy 0.9806, "
            "the champion's (bbbbbbbbbbbb) 0.9791; gs://b/versions/a",
        ),
        (
            Conclusion(conclusions.NOT_BLESSED, "not blessed: too low", 0.91),
            "not published, not blessed: too low; accuracy 0.9100",
        ),
        (
            Conclusion(conclusions.BLESSED, "blessed: first", 0.98),
            "not published, although blessed: first; accuracy 0.9800",
        ),
        (
            Conclusion(conclusions.UNCHANGED, "this model is the champion already", 0.98, CHAMPION, 0.98),
            "this model is the champion already; accuracy 0.9800, the champion's (bbbbbbbbbbbb) 0.9800",
        ),
        (Conclusion(conclusions.NOTHING_TO_TRAIN, "unchanged, published as a"), "unchanged, published as a"),
    ],
)
def test_the_verdict_is_what_is_told(state: str, conclusion: Conclusion, expected: str) -> None:
    """Kubeflow Pipelines says RUNNING of runs that succeeded, so the state adds nothing."""
    assert said(state, conclusion) == expected


def test_a_failure_comes_first() -> None:
    assert said("FAILED", PUBLISHED, "notify\nfailed").startswith(
        "FAILED: notify failed; published aaaaaaaaaaaa"
    )
    assert said("CANCELLED", None) == "CANCELLED; no verdict"


@pytest.mark.parametrize(
    ("state", "expected"), [("SUCCEEDED", "SUCCEEDED"), ("RUNNING", "ENDED"), ("", "ENDED")]
)
def test_without_a_verdict_that_is_said(state: str, expected: str) -> None:
    assert said(state, None, page="https://host/1") == f"{expected}; no verdict; https://host/1"


def test_nothing_steers_a_terminal_or_breaks_the_line() -> None:
    text = said("SUCCEEDED", Conclusion(conclusions.NOT_BLESSED, "a\nb\x1b[2J", 0.5))
    assert text.isprintable()
