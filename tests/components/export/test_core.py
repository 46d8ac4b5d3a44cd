import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import DataError, GateError, PipelineError, UsageError
from components.export import core
from components.registry.files import hash_model
from components.registry.reading import read_champion, verify_version
from components.registry.signing import SIGNING_KEY_VARIABLE, read_public_key, require_signatures
from components.revision import IMAGE_VARIABLE
from components.storage.opening import open_bucket
from tests.components.registry.test_reading import make_model
from tests.components.registry.test_signing import make_keys


def evaluation(directory: Path, model_dir: Path, **changes: Any) -> Path:
    directory.mkdir(exist_ok=True)
    facts = {
        "accuracy": 0.98,
        "recall": [0.98] * 10,
        "rows": 10_000,
        "dataset_fingerprint": "f" * 64,
        "model_sha256": hash_model(model_dir),
        "champion": None,
        "pointer_generation": 0,
        "blessed": True,
        "reason": "no champion yet",
        **changes,
    }
    (directory / "evaluation.json").write_text(json.dumps(facts), encoding="utf-8")
    return directory


def run(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    model_dir = make_model(tmp_path / "model")
    published = core.export(
        dataset_dir=tmp_path / "dataset",
        model_dir=model_dir,
        evaluation_dir=evaluation(tmp_path / "evaluation", model_dir, **changes),
        bucket_uri=str(tmp_path / "bucket"),
        published_dir=tmp_path / "published",
        run_id="run-1",
    )
    assert published
    return published


def test_a_blessed_model_becomes_the_champion(tmp_path: Path) -> None:
    published = run(tmp_path)
    assert json.loads((tmp_path / "published" / "published.json").read_text(encoding="utf-8")) == published
    champion = read_champion(open_bucket(str(tmp_path / "bucket")))
    assert champion is not None
    assert champion.version == published["version"]
    provenance = champion.manifest.provenance
    assert provenance["metrics"]["accuracy"] == 0.98
    assert provenance["dataset_fingerprint"] == "f" * 64
    assert provenance["parameters"] == {"seed": 0}
    assert provenance["parent"] is None
    assert len(provenance["git_revision"]) >= 40
    assert hash_model(published["serving_uri"]) == published["version"]


def test_a_manifest_says_which_image_trained_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = f"registry.example/mnist-pipeline-train@sha256:{'a' * 64}"
    monkeypatch.setenv(IMAGE_VARIABLE, image)
    run(tmp_path)
    champion = read_champion(open_bucket(str(tmp_path / "bucket")))
    assert champion is not None
    assert champion.manifest.provenance["image"] == image


def test_where_signatures_are_needed_the_key_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_keys(tmp_path, "key")
    bucket = open_bucket(str(tmp_path / "bucket"))
    require_signatures(bucket, read_public_key(public, "--verify-key"))
    with pytest.raises(UsageError, match="needs signed models; set MODEL_SIGNING_KEY"):
        run(tmp_path)
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, private)
    verify_version(bucket, run(tmp_path)["version"])  # refuses what is not signed


def test_the_same_model_again_changes_nothing(tmp_path: Path) -> None:
    first = run(tmp_path)
    again = run(tmp_path)
    assert first["created"]
    assert again == {**first, "created": False, "promoted": False}


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"blessed": False, "reason": "accuracy 0.5 is below 0.9"}, GateError, "accuracy 0.5 is below 0.9"),
        ({"model_sha256": "0" * 64}, GateError, "evaluate this one"),
        ({"blessed": "true"}, DataError, "blessed='true' must be true or false"),
        ({"blessed": 1}, DataError, "blessed=1 must be true or false"),
        ({"pointer_generation": None}, DataError, "pointer_generation"),
    ],
)
def test_a_closed_gate_publishes_nothing(
    tmp_path: Path, changes: dict[str, Any], kind: type[PipelineError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        run(tmp_path, **changes)
    assert not (tmp_path / "bucket").exists()
    assert not (tmp_path / "published").exists()


def test_a_missing_evaluation_publishes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"evaluation\.json"):
        core.export(
            dataset_dir=tmp_path,
            model_dir=make_model(tmp_path / "model"),
            evaluation_dir=tmp_path,
            bucket_uri=str(tmp_path / "bucket"),
            published_dir=tmp_path / "published",
            run_id="run-1",
        )
    assert not (tmp_path / "bucket").exists()


def test_the_uri_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="s3"):
        core.export(
            dataset_dir="",
            model_dir="",
            evaluation_dir="",
            bucket_uri="s3://x",
            published_dir=tmp_path / "published",
            run_id="run-1",
        )
