"""The face of train: what a platform keeps of a run beside its files."""

from pathlib import Path

import pytest
from kfp import dsl

from components.dataset import Dataset
from components.model import serving
from components.train.component import train
from tests.conftest import SMALL


def run(dataset_dir: str, directory: Path, settings: dict[str, object]) -> dsl.Model:
    model = dsl.Model(uri=str(directory / "model"))
    train.python_func(
        data=dsl.Dataset(uri=dataset_dir),
        model=model,
        curves=dsl.HTML(uri=str(directory / "curves")),
        events=dsl.Artifact(uri=str(directory / "events")),
        settings=settings,
        resident_bytes=2_000_000_000,
        checkpoint_uri="",
    )
    return model


def test_the_face_writes_its_artifacts_and_the_models_metadata(dataset_dir: str, tmp_path: Path) -> None:
    model = run(dataset_dir, tmp_path, SMALL.as_dict())
    assert model.metadata == serving.read_provenance(model.path)
    assert model.metadata["dataset_fingerprint"] == Dataset.open(dataset_dir).fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves", "events", "model"]


def test_a_setting_that_is_wrong_is_one_line_and_an_exit_code(
    dataset_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(dataset_dir, tmp_path, {**SMALL.as_dict(), "epochs": 0})
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("UsageError: epochs=0: must be a whole number from 1 to ")
    assert list(tmp_path.iterdir()) == []
