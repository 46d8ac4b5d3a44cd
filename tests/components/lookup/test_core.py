"""lookup: nothing is trained that has been published already, and only then."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import StorageError
from components.lookup import core
from components.lookup.component import lookup as face
from components.registry.publishing import publish
from components.revision import VARIABLE
from components.storage.opening import open_bucket

REVISION = "0123456789abcdef0123456789abcdef01234567"
FINGERPRINT = "f" * 64
PARAMETERS: dict[str, Any] = {
    "model_style": "functional",
    "hidden_units": [],
    "epochs": 3,
    "batch_size": 64,
    "learning_rate": 0.001,
    "seed": 0,
    "precision": "float32",
}


@pytest.fixture(autouse=True)
def revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, REVISION)


def lookup(bucket_dir: Path, **change: Any) -> bool:
    arguments: dict[str, Any] = {"bucket_uri": str(bucket_dir), "skip_unchanged": True}
    arguments["dataset_fingerprint"] = FINGERPRINT
    return core.lookup(**(arguments | PARAMETERS | change))


@pytest.fixture
def bucket_dir(tmp_path: Path) -> Path:
    """A bucket with one published model, as export describes it; its bytes do not matter here."""
    model_dir = tmp_path / "model"
    (model_dir / "variables").mkdir(parents=True)
    (model_dir / "saved_model.pb").write_bytes(b"graph")
    (model_dir / "variables" / "variables.index").write_bytes(b"index")
    requested = PARAMETERS["hidden_units"]
    facts = {**PARAMETERS, "hidden_units": [64, 64], "requested_hidden_units": requested}
    provenance = {"git_revision": REVISION, "parameters": {**facts, "dataset_fingerprint": FINGERPRINT}}
    publish(open_bucket(str(tmp_path / "bucket")), model_dir, provenance, 0)
    return tmp_path / "bucket"


def test_the_same_is_not_trained_twice_and_says_so(
    bucket_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lookup(bucket_dir) is False
    assert "lookup: unchanged, published as " in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        {"skip_unchanged": False},
        {"dataset_fingerprint": "e" * 64},
        {"model_style": "subclass"},
        {"hidden_units": [64, 32]},
        {"epochs": 4},
        {"batch_size": 32},
        {"learning_rate": 0.01},
        {"seed": 1},
        {"precision": "mixed_bfloat16"},
    ],
)
def test_anything_else_is_trained(bucket_dir: Path, change: dict[str, Any]) -> None:
    assert lookup(bucket_dir, **change) is True


@pytest.mark.parametrize("code", ["f" * 40, f"{REVISION}-dirty"])
def test_other_code_and_code_of_no_commit_are_trained(
    bucket_dir: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, code)
    assert lookup(bucket_dir) is True


def test_whole_numbers_that_kubeflow_made_floats_are_the_same(tmp_path: Path) -> None:
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    (model_dir / "saved_model.pb").write_bytes(b"graph")
    facts = {**PARAMETERS, "requested_hidden_units": [32, 16], "dataset_fingerprint": FINGERPRINT}
    publish(open_bucket(str(tmp_path / "b")), model_dir, {"git_revision": REVISION, "parameters": facts}, 0)
    assert lookup(tmp_path / "b", hidden_units=[32.0, 16.0]) is False


def test_an_empty_bucket_and_a_damaged_manifest_are_no_reason_to_stop(
    bucket_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lookup(tmp_path / "nothing") is True
    [manifest] = (bucket_dir / "versions").glob("*/manifest.json")
    fields = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**fields, "created": "yesterday"}))
    assert lookup(bucket_dir) is True
    assert "lookup: passing over " in capsys.readouterr().out


def test_a_bucket_that_does_not_answer_is_an_error_not_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("BUCKET_DEADLINE", "1")
    with pytest.raises(StorageError):
        core.lookup(
            dataset_fingerprint=FINGERPRINT, bucket_uri="gs://models", skip_unchanged=True, **PARAMETERS
        )


def test_the_face_hands_it_over(bucket_dir: Path) -> None:
    arguments = {"dataset_fingerprint": FINGERPRINT, "bucket_uri": str(bucket_dir), "skip_unchanged": True}
    assert face.python_func(**arguments, **PARAMETERS) is False
