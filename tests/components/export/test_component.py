"""The face of export: whether it is to be run once more, and what a platform keeps of what it did."""

import json
import sys
from pathlib import Path

import pytest
from kfp import dsl

from components.export.component import export
from components.registry.publishing import publish
from components.storage.opening import open_bucket
from tests.components.export.test_core import evaluation
from tests.components.registry.test_reading import make_model


def run(tmp_path: Path, **changes: object) -> tuple[bool, dsl.Artifact]:
    model_dir = make_model(tmp_path / "model")
    published = dsl.Artifact(uri=str(tmp_path / "published"))
    overtaken = export.python_func(
        data=dsl.Dataset(uri=str(tmp_path / "dataset")),
        model=dsl.Model(uri=str(model_dir)),
        evaluation=dsl.Artifact(uri=str(evaluation(tmp_path / "evaluation", model_dir, **changes))),
        bucket_uri=str(tmp_path / "bucket"),
        published=published,
        run_id="run-1",
    )
    return overtaken, published


def test_what_was_published_is_the_artifacts_metadata_too(tmp_path: Path) -> None:
    overtaken, published = run(tmp_path)
    assert overtaken is False
    written = json.loads(Path(published.path, "published.json").read_text(encoding="utf-8"))
    assert published.metadata == written
    assert written["promoted"]


def test_an_overtaken_export_without_tensorflow_asks_to_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(open_bucket(str(tmp_path / "bucket")), make_model(tmp_path / "rival", 1), {}, 0)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    overtaken, published = run(tmp_path)
    assert overtaken is True
    assert published.metadata == {"overtaken": True}
    assert not Path(published.path).exists()


def test_a_closed_gate_is_one_line_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, blessed=False, reason="accuracy 0.5 is below 0.9")
    assert stopped.value.code == 4
    assert capsys.readouterr().err == "GateError: the gate is closed: accuracy 0.5 is below 0.9\n"
