import json
from pathlib import Path

import pytest
from kfp import dsl

from components.dataset import Dataset
from components.ingest.component import ingest


def run(data: dsl.Dataset, **change: object) -> object:
    arguments: dict[str, object] = {
        "dataset": "mnist",
        "mirror": "",
        "pixel_scale": 255.0,
        "validation_rows": 10_000,
        "holdout": True,
        "augment_factor": 1,
        "max_drift": 0.0,
        "batches_uri": "",
        "batches_digest": "",
    }
    news = str(Path(data.path).with_name("news"))
    return ingest.python_func(**arguments | change, data=data, news=news)


def test_the_face_writes_the_artifact_and_its_metadata(tmp_path: Path) -> None:
    data = dsl.Dataset(uri=str(tmp_path / "deep" / "data"))
    assert run(data) == Dataset.open(data.path).fingerprint
    assert data.metadata == {
        "dataset": "mnist",
        "source": "the bundled copy",
        "fingerprint": Dataset.open(data.path).fingerprint,
        "pixel_scale": 255.0,
        "train_rows": 50_000,
        "augment_factor": 1,
        "validation_rows": 10_000,
        "test_rows": 10_000,
        "duplicates": 0,
        "batches": 0,
    }


def test_what_is_new_is_told_to_lookup(tmp_path: Path) -> None:
    data = dsl.Dataset(uri=str(tmp_path / "data"))
    fingerprint = run(data)
    assert json.loads((tmp_path / "news").read_text(encoding="utf-8")) == {
        "fingerprint": fingerprint,
        "train_rows": 50_000,
        "batches": {},
    }


def test_a_users_mistake_is_one_line_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(dsl.Dataset(uri=str(tmp_path / "data")), dataset="emnist")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "UsageError: dataset='emnist': must be one of mnist, fashion_mnist, kmnist\n"
    )
    with pytest.raises(SystemExit) as stopped:
        run(dsl.Dataset(uri=str(tmp_path / "data")), mirror="/no/such")
    assert stopped.value.code == 5
