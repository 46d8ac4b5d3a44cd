"""The face of evaluate: what a platform lists, compares and draws of an evaluation."""

import json
from pathlib import Path

import pytest
from kfp import dsl

from components.evaluate.component import evaluate
from components.registry.files import hash_model
from components.registry.publishing import publish
from components.storage.opening import open_bucket
from tests.conftest import TrainModel


class Evaluated:
    """One call of the face, with everything that it fills in."""

    def __init__(self, dataset_dir: str, model_dir: Path, directory: Path, min_accuracy: float) -> None:
        self.metrics = dsl.Metrics(uri=str(directory / "metrics"))
        self.confusion = dsl.ClassificationMetrics(uri=str(directory / "confusion"))
        self.report = dsl.HTML(uri=str(directory / "report"))
        self.evaluation = dsl.Artifact(uri=str(directory / "evaluation"))
        self.blessed = evaluate.python_func(
            data=dsl.Dataset(uri=dataset_dir),
            model=dsl.Model(uri=str(model_dir)),
            metrics=self.metrics,
            confusion=self.confusion,
            report=self.report,
            evaluation=self.evaluation,
            bucket_uri=str(directory / "bucket"),
            min_accuracy=min_accuracy,
            min_digit_recall=0.0,
            min_improvement=0.0,
            max_p_value=1.0,
            max_slice_loss=1.0,
            run_id="run-1",
        )
        self.facts = json.loads(Path(self.evaluation.path, "evaluation.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("min_accuracy", "blessed"), [(0.5, True), (1.0, False)])
def test_the_face_answers_by_the_gate_and_fills_its_artifacts_either_way(
    dataset_dir: str, model_dir: Path, tmp_path: Path, min_accuracy: float, blessed: bool
) -> None:
    done = Evaluated(dataset_dir, model_dir, tmp_path, min_accuracy)
    assert done.blessed is blessed is done.facts["blessed"]
    assert done.metrics.metadata["accuracy"] == done.facts["accuracy"]
    assert done.metrics.metadata["loss"] == done.facts["loss"]
    for digit in range(10):
        assert done.metrics.metadata[f"recall_{digit}"] == done.facts["recall"][digit]
        assert done.metrics.metadata[f"precision_{digit}"] == done.facts["precision"][digit]
    assert "champion_accuracy" not in done.metrics.metadata
    matrix = done.confusion.metadata["confusionMatrix"]
    assert [each["displayName"] for each in matrix["annotationSpecs"]] == list("0123456789")
    assert [row["row"] for row in matrix["rows"]] == done.facts["confusion"]
    assert done.evaluation.metadata == {
        "dataset_fingerprint": done.facts["dataset_fingerprint"],
        "model_sha256": hash_model(model_dir),
    }
    assert "<html" in Path(done.report.path).read_text(encoding="utf-8")


def test_a_champions_figures_are_listed_beside_the_challengers(
    dataset_dir: str, model_dir: Path, train_model: TrainModel, tmp_path: Path
) -> None:
    publish(open_bucket(str(tmp_path / "bucket")), train_model(epochs=1, seed=3), {}, 0)
    done = Evaluated(dataset_dir, model_dir, tmp_path, 0.5)
    assert done.metrics.metadata["champion_accuracy"] == done.facts["champion"]["accuracy"]
    assert done.metrics.metadata["mcnemar_p_value"] == done.facts["champion"]["p_value"]
