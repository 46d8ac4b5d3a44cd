"""Another run promotes its model between this run's evaluation and its export."""

import sys
from pathlib import Path
from typing import Any

import pytest

from components.errors import DataError, GateError
from components.evaluate import core as evaluate_core
from components.export import core
from components.judging.thresholds import Thresholds
from components.registry import conclusions
from components.registry.files import hash_model
from components.registry.publishing import publish
from components.registry.reading import read_champion
from components.storage.opening import open_bucket
from pipeline.compile.documents import local_spec
from pipeline.local import run as local_run
from pipeline.parameters import resolve
from tests.conftest import TrainModel
from tests.sweeps.overtaking import overtake, put_before_the_imports_of


class Run:
    """One pipeline run from evaluate on, in a directory of its own."""

    def __init__(self, directory: Path, dataset_dir: str, model_dir: Path, bucket_uri: str) -> None:
        self.directory = directory
        self.dataset_dir = dataset_dir
        self.model_dir = model_dir
        self.bucket_uri = bucket_uri
        directory.mkdir()

    def evaluate(self, min_improvement: float = 0.0) -> None:
        evaluate_core.evaluate(
            Thresholds(
                min_accuracy=0.1,
                min_digit_recall=0.0,
                min_improvement=min_improvement,
                max_slice_loss=1.0,
            ),
            dataset_dir=self.dataset_dir,
            model_dir=str(self.model_dir),
            report_path=str(self.directory / "report.html"),
            evaluation_dir=str(self.directory / "evaluation"),
            bucket_uri=self.bucket_uri,
            run_id="run-1",
        )

    def export(self) -> dict[str, Any] | None:
        return core.export(
            dataset_dir=self.dataset_dir,
            model_dir=self.model_dir,
            evaluation_dir=self.directory / "evaluation",
            bucket_uri=self.bucket_uri,
            published_dir=self.directory / "published",
            run_id="run-1",
        )


@pytest.fixture(scope="module")
def worse_dir(train_model: TrainModel) -> Path:
    return train_model(epochs=1, seed=3)


def champion(bucket_uri: str) -> str:
    found = read_champion(open_bucket(bucket_uri))
    assert found is not None
    return found.version


def test_the_better_model_beats_the_new_champion(
    tmp_path: Path, dataset_dir: str, model_dir: Path, worse_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run", dataset_dir, model_dir, str(tmp_path / "bucket"))
    run.evaluate()
    other = publish(open_bucket(run.bucket_uri), worse_dir, {}, 0)
    published = run.export()
    assert published
    assert "evaluate against the new champion" in capsys.readouterr().out
    assert champion(run.bucket_uri) == published["version"] == hash_model(model_dir)
    assert published["parent"] == other.version
    told = conclusions.find(run.bucket_uri, "run-1")
    assert told is not None
    assert (told.verdict, told.version) == (conclusions.PUBLISHED, published["version"])
    assert (told.champion, told.reason[:14]) == (other.version, "blessed: beats")


def test_the_worse_model_stands_down(
    tmp_path: Path, dataset_dir: str, model_dir: Path, worse_dir: Path
) -> None:
    run = Run(tmp_path / "run", dataset_dir, worse_dir, str(tmp_path / "bucket"))
    run.evaluate()
    publish(open_bucket(run.bucket_uri), model_dir, {}, 0)
    with pytest.raises(GateError, match="must beat the champion's"):
        run.export()
    assert champion(run.bucket_uri) == hash_model(model_dir)
    assert not (run.directory / "published").exists()


def test_the_new_champion_must_be_beaten_by_as_much_as_the_first_evaluation_asked(
    tmp_path: Path, dataset_dir: str, model_dir: Path, worse_dir: Path
) -> None:
    run = Run(tmp_path / "run", dataset_dir, model_dir, str(tmp_path / "bucket"))
    run.evaluate(min_improvement=0.9)  # of no champion nothing is asked yet
    publish(open_bucket(run.bucket_uri), worse_dir, {}, 0)
    with pytest.raises(GateError, match=r"must beat the champion's .*min_improvement=0\.9"):
        run.export()
    assert champion(run.bucket_uri) == hash_model(worse_dir)


def test_two_runs_with_one_model_both_succeed(tmp_path: Path, dataset_dir: str, model_dir: Path) -> None:
    runs = [Run(tmp_path / name, dataset_dir, model_dir, str(tmp_path / "bucket")) for name in "ab"]
    for run in runs:
        run.evaluate()
    first, second = (run.export() for run in runs)
    assert first
    assert second
    assert (first["promoted"], second["promoted"]) == (True, False)
    assert first["version"] == second["version"]


def test_without_tensorflow_it_says_so_and_the_same_export_where_it_is_goes_on(
    tmp_path: Path, dataset_dir: str, model_dir: Path, worse_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run", dataset_dir, model_dir, str(tmp_path / "bucket"))
    run.evaluate()
    publish(open_bucket(run.bucket_uri), worse_dir, {}, 0)
    with monkeypatch.context() as hidden:
        hidden.setitem(sys.modules, "tensorflow", None)
        assert run.export() is None
    assert champion(run.bucket_uri) == hash_model(worse_dir)
    assert not (run.directory / "published").exists()
    published = run.export()
    assert published
    assert champion(run.bucket_uri) == published["version"] == hash_model(model_dir)


def test_the_dag_runs_an_overtaken_export_again(tmp_path: Path, worse_dir: Path) -> None:
    spec = local_spec()
    overtake(spec, worse_dir)
    hide = "    import sys\n\n    sys.modules['tensorflow'] = None\n"
    put_before_the_imports_of(spec, "export", hide)
    chosen = [f"bucket_uri={tmp_path}/bucket", "epochs=1", "min_accuracy=0.9", "min_digit_recall=0.5"]
    outcome = local_run.run(spec, resolve(spec, chosen), runs_dir=tmp_path / "runs", retries=0)
    assert outcome.published
    assert outcome.published["promoted"]
    assert outcome.published["parent"] == hash_model(worse_dir)
    assert champion(f"{tmp_path}/bucket") == outcome.published["version"]


def test_the_dataset_must_be_the_one_evaluated_on(
    tmp_path: Path, dataset_dir: str, model_dir: Path, worse_dir: Path
) -> None:
    run = Run(tmp_path / "run", dataset_dir, model_dir, str(tmp_path / "bucket"))
    run.evaluate()
    publish(open_bucket(run.bucket_uri), worse_dir, {}, 0)
    path = run.directory / "evaluation" / "evaluation.json"
    fingerprint = path.read_text(encoding="utf-8").split('"dataset_fingerprint": "')[1][:64]
    path.write_text(path.read_text(encoding="utf-8").replace(fingerprint, "0" * 64), encoding="utf-8")
    with pytest.raises(DataError, match="is not the one evaluated on"):
        run.export()
