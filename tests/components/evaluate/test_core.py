import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.dataset import Dataset
from components.errors import DataError, UsageError
from components.evaluate import core
from components.judging.evaluation import Evaluation
from components.judging.thresholds import Thresholds
from components.model.prediction import predict
from components.registry import conclusions
from components.registry.conclusions import Conclusion
from components.registry.publishing import publish
from components.storage.opening import open_bucket
from tests.conftest import TrainModel


@pytest.fixture
def evaluate(dataset_dir: str, tmp_path: Path) -> Any:
    def run(model_dir: Path, **changes: Any) -> Evaluation:
        places = {"dataset_dir": dataset_dir, "bucket_uri": str(tmp_path / "bucket")}
        thresholds = Thresholds(min_accuracy=0.5, min_digit_recall=0.0, max_slice_loss=1.0).as_dict()
        return core.evaluate(
            Thresholds.among(thresholds | changes),
            model_dir=str(model_dir),
            report_path=str(tmp_path / "report.html"),
            evaluation_dir=str(tmp_path / "evaluation"),
            run_id="run-1",
            **{name: changes.get(name, place) for name, place in places.items()},
        )

    return run


def promote(model_dir: Path, bucket_dir: Path, generation: int = 0) -> str:
    return publish(open_bucket(str(bucket_dir)), model_dir, {}, generation).version


def test_a_first_model_has_no_champion_and_says_so(evaluate: Any, model_dir: Path, tmp_path: Path) -> None:
    evaluation = evaluate(model_dir)
    assert evaluation.blessed
    assert evaluation.champion is None
    assert evaluation.pointer_generation == 0
    assert evaluation.reason == "blessed: first model in this bucket, no champion to beat"
    assert evaluation.scores.rows == 10_000
    assert sum(map(sum, evaluation.scores.confusion)) == 10_000
    written = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    assert written["accuracy"] == evaluation.scores.accuracy
    assert written["rows"] == 10_000
    assert written["blessed"] is True
    assert written["champion"] is None
    came_to = Conclusion(conclusions.BLESSED, evaluation.reason, evaluation.scores.accuracy)
    assert conclusions.find(str(tmp_path / "bucket"), "run-1") == came_to
    assert [path.name for path in (tmp_path / "bucket").iterdir()] == ["conclusions"]


def test_every_test_row_is_scored_as_the_model_answers_it(
    evaluate: Any, model_dir: Path, dataset_dir: str
) -> None:
    images, labels = Dataset.open(dataset_dir).test()
    right = predict(str(model_dir), images).argmax(axis=1) == labels
    assert evaluate(model_dir).scores.accuracy == right.mean()


def test_a_closed_gate_says_which_rule_failed(evaluate: Any, model_dir: Path, tmp_path: Path) -> None:
    evaluation = evaluate(model_dir, min_accuracy=0.99)
    assert not evaluation.blessed
    assert "must be at least 0.99 (min_accuracy)" in evaluation.reason
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "must be at least 0.99 (min_accuracy)" in report
    assert "<td>failed</td>" in report


def test_the_same_model_is_the_champion_already(evaluate: Any, model_dir: Path, tmp_path: Path) -> None:
    version = promote(model_dir, tmp_path / "bucket")
    evaluation = evaluate(model_dir)
    assert evaluation.unchanged
    assert not evaluation.blessed
    assert evaluation.champion.version == version
    assert evaluation.champion.comparison.p_value == 1.0
    assert "the champion already" in evaluation.reason


def test_a_better_challenger_beats_the_champion_and_a_worse_one_does_not(
    evaluate: Any, model_dir: Path, train_model: TrainModel, tmp_path: Path
) -> None:
    worse = train_model(epochs=1, seed=3)
    promote(worse, tmp_path / "bucket")
    evaluation = evaluate(model_dir)
    assert evaluation.blessed
    assert evaluation.scores.accuracy > evaluation.champion.scores.accuracy
    assert evaluation.champion.comparison.won > evaluation.champion.comparison.lost
    assert evaluation.champion.comparison.p_value < 0.05
    assert "McNemar" in (tmp_path / "report.html").read_text(encoding="utf-8")

    promote(model_dir, tmp_path / "bucket", evaluation.pointer_generation)
    assert not evaluate(worse).blessed


def test_a_better_challenger_that_is_worse_at_some_digits_is_refused_and_they_are_named(
    evaluate: Any, model_dir: Path, train_model: TrainModel, tmp_path: Path
) -> None:
    promote(train_model(epochs=1, seed=3), tmp_path / "bucket")
    evaluation = evaluate(model_dir, max_slice_loss=0.0)
    assert evaluation.scores.accuracy > evaluation.champion.scores.accuracy + 0.1
    assert not evaluation.blessed
    lost = [rule.text for rule in evaluation.rules if not rule.passed]
    assert lost
    assert all(text.startswith("digit ") and "(max_slice_loss" in text for text in lost)


def test_each_look_at_the_same_test_rows_is_counted(
    evaluate: Any, model_dir: Path, train_model: TrainModel, tmp_path: Path
) -> None:
    first = evaluate(train_model(epochs=1, seed=3))
    assert first.judged_before == 0
    publish(open_bucket(str(tmp_path / "bucket")), train_model(epochs=1, seed=3), {"data": first.data}, 0)
    assert evaluate(model_dir).judged_before == 1


def test_a_tampered_champion_is_an_error_not_a_win(evaluate: Any, model_dir: Path, tmp_path: Path) -> None:
    version = promote(model_dir, tmp_path / "bucket")
    graph = next((tmp_path / "bucket" / "versions" / version).rglob("saved_model.pb"))
    graph.chmod(0o644)
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"saved_model\.pb: altered"):
        evaluate(model_dir)
    assert not (tmp_path / "evaluation").exists()


def test_a_model_of_another_dataset_is_refused(evaluate: Any, model_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(model_dir, other)
    provenance = other / "assets.extra" / "model.json"
    provenance.write_text(
        json.dumps({**json.loads(provenance.read_text(encoding="utf-8")), "dataset_fingerprint": "0" * 64}),
        encoding="utf-8",
    )
    with pytest.raises(DataError, match="was trained on dataset 0000"):
        evaluate(other)


def test_the_report_says_that_the_notebook_validates_on_training_rows(
    evaluate: Any, model_dir: Path, tmp_path: Path, dataset_dir: str
) -> None:
    evaluate(model_dir)
    assert "were kept out of training" in (tmp_path / "report.html").read_text(encoding="utf-8")
    overlapping = tmp_path / "overlapping"
    shutil.copytree(dataset_dir, overlapping)
    facts = json.loads((overlapping / "dataset.json").read_text(encoding="utf-8"))
    (overlapping / "dataset.json").write_text(json.dumps({**facts, "holdout": False}), encoding="utf-8")
    evaluate(model_dir, dataset_dir=str(overlapping))
    assert "The validation rows were training rows too" in (tmp_path / "report.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("field", ["min_accuracy", "min_digit_recall", "min_improvement"])
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_thresholds_are_fractions(evaluate: Any, model_dir: Path, field: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{field}=.*: must be a fraction from 0 to 1"):
        evaluate(model_dir, **{field: value})
