"""What a run came to: left by its tasks, found by notify, forgotten after a month."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from components.errors import DataError, StorageError
from components.registry import collecting, conclusions
from components.registry.conclusions import KEPT_DAYS, Conclusion
from components.storage.opening import open_bucket
from tests.fakes.gcs_fixtures import Gcs

REJECTED = Conclusion(conclusions.NOT_BLESSED, "not blessed: too low", 0.91, "c" * 64, 0.98)
DAY = 86_400.0


@pytest.fixture
def bucket_uri(tmp_path: Path) -> str:
    return str(tmp_path / "bucket")


def test_what_is_left_is_found_and_the_last_one_counts(bucket_uri: str) -> None:
    assert conclusions.find(bucket_uri, "run-1") is None
    conclusions.leave(bucket_uri, "run-1", Conclusion(conclusions.BLESSED, "blessed", 1))
    conclusions.leave(bucket_uri, "run-2", Conclusion(conclusions.NOTHING_TO_TRAIN, "unchanged"))
    conclusions.leave(bucket_uri, "run-1", REJECTED)
    assert conclusions.find(bucket_uri, "run-1") == REJECTED
    assert conclusions.find(f"file://{bucket_uri}/", "run-1") == REJECTED
    assert conclusions.find(bucket_uri, "run-2") == Conclusion(conclusions.NOTHING_TO_TRAIN, "unchanged")


def test_a_remote_bucket_is_the_same(gcs: Gcs) -> None:
    uri = f"{gcs.new_bucket()}/mnist"
    assert conclusions.find(uri, "run-1") is None
    for conclusion in (Conclusion(conclusions.BLESSED, "blessed", 1), REJECTED):
        conclusions.leave(uri, "run-1", conclusion)
    assert conclusions.find(uri, "run-1") == REJECTED


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"blessed": True, "unchanged": False, "champion": None}, Conclusion("blessed", "why", 0.9)),
        (
            {"blessed": False, "unchanged": True, "champion": {"version": "v", "accuracy": 0.9}},
            Conclusion("unchanged", "why", 0.9, "v", 0.9),
        ),
        ({"blessed": False, "unchanged": False}, Conclusion("not blessed", "why", 0.9)),
    ],
)
def test_an_evaluation_amounts_to_one(facts: dict[str, Any], expected: Conclusion) -> None:
    assert Conclusion.of_evaluation({"reason": "why", "accuracy": 0.9, **facts}) == expected


def test_one_that_cannot_be_left_fails_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    conclusions.leave(str(tmp_path / "file"), "run-1", REJECTED)
    conclusions.leave(str(tmp_path), "../run-1", REJECTED)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2
    assert all(line.startswith("not blessed, but notify will not know: ") for line in told)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "fine"},
        {"verdict": None},
        {"reason": 5},
        {"accuracy": "high"},
        {"accuracy": 1.5},
        {"champion_accuracy": True},
        {"format": "other"},
    ],
)
def test_a_damaged_one_is_named(bucket_uri: str, change: dict[str, Any]) -> None:
    conclusions.leave(bucket_uri, "run-1", REJECTED)
    [path] = Path(bucket_uri).glob("conclusions/*.json")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(DataError, match=r"run-1\.json: "):
        conclusions.find(bucket_uri, "run-1")


def test_a_bucket_that_does_not_answer_is_no_conclusion(gcs: Gcs) -> None:
    with pytest.raises(StorageError):
        conclusions.find("gs://elsewhere/mnist", "run-1")


def test_old_ones_are_collected_and_nothing_else(bucket_uri: str) -> None:
    for name in ("old", "young"):
        conclusions.leave(bucket_uri, name, REJECTED)
    folder = Path(bucket_uri) / "conclusions"
    foreign = [
        folder / "notes.txt",
        folder / "deeper" / "evaluation.json",
        Path(bucket_uri) / "runs" / "old.json",
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    month_ago = time.time() - KEPT_DAYS * DAY - 1
    for path in (folder / "old.json", *foreign):
        os.utime(path, (month_ago, month_ago))
    bucket = open_bucket(bucket_uri)
    doomed = collecting.plan(bucket, keep=1)
    assert [each.prefix for each in collecting.collect(bucket, doomed)] == ["conclusions/old.json"]
    assert all(path.exists() for path in foreign)
    assert conclusions.find(bucket_uri, "young") == REJECTED
