"""lookup: nothing is trained that has been published already, and only then."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.errors import StorageError
from components.lookup import core
from components.lookup.component import lookup as face
from components.lookup.settings import Settings
from components.registry import conclusions
from components.registry.publishing import publish
from components.registry.reading import read_pointer
from components.registry.signing import read_public_key, require_signatures
from components.revision import VARIABLE
from components.storage.opening import open_bucket
from components.train.settings import Settings as TrainSettings
from tests.components.registry.test_reading import make_model
from tests.components.registry.test_signing import make_keys

REVISION = "0123456789abcdef0123456789abcdef01234567"
FINGERPRINT = "f" * 64
SETTINGS = TrainSettings(model_style="functional", epochs=3)


@pytest.fixture(autouse=True)
def revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, REVISION)


Lookup = Callable[..., bool]


@pytest.fixture
def lookup(tmp_path: Path) -> Lookup:
    def look(
        bucket_uri: Path | str,
        skip_unchanged: bool = True,
        dataset_fingerprint: str = FINGERPRINT,
        **changes: Any,
    ) -> bool:
        return core.lookup(
            Settings(skip_unchanged=skip_unchanged),
            dataclasses.replace(SETTINGS, **changes),
            news={"fingerprint": dataset_fingerprint, "train_rows": 50_000.0, "batches": {}},
            bucket_uri=str(bucket_uri),
            settings_path=str(tmp_path / "settings"),
            run_id="run-1",
        )

    return look


@pytest.fixture
def bucket_dir(tmp_path: Path) -> Path:
    """A bucket with one published model, as export describes it; its bytes do not matter here."""
    model_dir = tmp_path / "model"
    (model_dir / "variables").mkdir(parents=True)
    (model_dir / "saved_model.pb").write_bytes(b"graph")
    (model_dir / "variables" / "variables.index").write_bytes(b"index")
    resolved = SETTINGS.resolved()
    facts = {**resolved.as_dict(), "settings_fingerprint": resolved.fingerprint()}
    provenance = {"git_revision": REVISION, "parameters": {**facts, "dataset_fingerprint": FINGERPRINT}}
    publish(open_bucket(str(tmp_path / "bucket")), model_dir, provenance, 0)
    return tmp_path / "bucket"


def test_the_same_is_not_trained_twice_and_says_so(
    lookup: Lookup, bucket_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lookup(bucket_dir) is False
    assert "lookup: unchanged, published as " in capsys.readouterr().out
    told = conclusions.find(str(bucket_dir), "run-1")
    assert told is not None
    assert told.verdict == conclusions.NOTHING_TO_TRAIN
    assert told.reason.startswith("nothing trained: unchanged, published as ")


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
def test_anything_else_is_trained(lookup: Lookup, bucket_dir: Path, change: dict[str, Any]) -> None:
    assert lookup(bucket_dir, **change) is True


@pytest.mark.parametrize("code", ["f" * 40, f"{REVISION}-dirty"])
def test_other_code_and_code_of_no_commit_are_trained(
    lookup: Lookup, bucket_dir: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, code)
    assert lookup(bucket_dir) is True


def test_sizes_that_are_the_styles_own_are_the_same_as_none(lookup: Lookup, bucket_dir: Path) -> None:
    assert lookup(bucket_dir, hidden_units=[64.0, 64.0]) is False  # as Kubeflow hands over whole numbers


@pytest.mark.parametrize("skip_unchanged", [True, False])
def test_trains_settings_are_written_out_whole(
    lookup: Lookup, bucket_dir: Path, tmp_path: Path, skip_unchanged: bool
) -> None:
    lookup(bucket_dir, skip_unchanged, seed=7)
    written = TrainSettings.read(json.loads((tmp_path / "settings").read_text(encoding="utf-8")))
    assert written == dataclasses.replace(SETTINGS, seed=7, hidden_units=[64, 64])


def test_an_empty_bucket_and_a_damaged_manifest_are_no_reason_to_stop(
    lookup: Lookup, bucket_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lookup(tmp_path / "nothing") is True
    [manifest] = (bucket_dir / "versions").glob("*/manifest.json")
    fields = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**fields, "created": "yesterday"}), encoding="utf-8")
    assert lookup(bucket_dir) is True
    assert "lookup: passing over " in capsys.readouterr().out


def test_an_unsigned_version_is_passed_over_where_signatures_are_needed(
    lookup: Lookup, bucket_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was published before they were; ending every run for it would end all of them."""
    private_key, public_key = make_keys(tmp_path, "key")
    bucket = open_bucket(str(bucket_dir))
    generation = read_pointer(bucket)[1]
    publish(bucket, make_model(tmp_path / "signed"), {}, generation, signing_key=private_key)
    require_signatures(bucket, read_public_key(public_key, "--verify-key"))
    assert lookup(bucket_dir) is True
    assert "is not signed with key" in capsys.readouterr().out


def test_a_bucket_that_does_not_answer_is_an_error_not_an_answer(
    lookup: Lookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("BUCKET_DEADLINE", "1")
    with pytest.raises(StorageError):
        lookup("gs://models")


def test_the_face_hands_it_over(bucket_dir: Path, tmp_path: Path) -> None:
    answer = face.python_func(
        news={"fingerprint": FINGERPRINT, "train_rows": 50_000.0, "batches": {}},
        bucket_uri=str(bucket_dir),
        run_id="run-1",
        settings=str(tmp_path / "settings"),
        **Settings(skip_unchanged=True).as_dict(),
        **SETTINGS.as_dict(),
    )
    assert answer is False
    assert json.loads((tmp_path / "settings").read_text(encoding="utf-8"))["hidden_units"] == [64, 64]
