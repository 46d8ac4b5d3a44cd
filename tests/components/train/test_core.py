import hashlib
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from components.dataset import Dataset
from components.errors import DataError, UsageError
from components.model import serving
from components.train import core
from components.train.settings import Execution, Settings
from tests.conftest import TrainModel


def tree(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(f.relative_to(directory)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_writes_a_savedmodel_with_its_provenance(model_dir: Path, dataset_dir: str) -> None:
    assert set(tree(model_dir)) == {
        "assets.extra/model.json",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    }
    provenance = serving.read_provenance(str(model_dir))
    assert provenance["model_style"] == "functional"
    assert provenance["hidden_units"] == [32]
    settings = Settings(model_style="functional", hidden_units=[32], epochs=3)
    assert provenance["settings_fingerprint"] == settings.fingerprint()
    assert provenance["parameters"] == 785 * 32 + 33 * 10
    assert provenance["dataset_fingerprint"] == Dataset.open(dataset_dir).fingerprint
    assert 0.6 < provenance["validation_accuracy"] < 1


def test_nothing_is_trained_for_a_place_that_no_model_can_be_loaded_from(
    tmp_path: Path, dataset_dir: str
) -> None:
    with pytest.raises(UsageError, match=r"^model='.*/a\[1\]/model': TensorFlow takes '\[' in a path"):
        core.train(
            Settings(),
            Execution(),
            dataset_dir=dataset_dir,
            model_dir=str(tmp_path / "a[1]" / "model"),
            curves_path=str(tmp_path / "curves.html"),
            events_dir=str(tmp_path / "events"),
        )
    assert not list(tmp_path.iterdir())


def test_what_this_process_has_told_keras_does_not_decide_the_weights(
    model_dir: Path, train_model: TrainModel
) -> None:
    calm = serving.read_provenance(str(model_dir))["weights_sha256"]
    before = keras.config.floatx(), keras.config.epsilon()
    keras.config.set_floatx("float64")
    keras.config.set_epsilon(0.1)
    try:
        assert serving.read_provenance(str(train_model(epochs=3)))["weights_sha256"] == calm
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_epsilon(before[1])


def test_another_backend_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(
        UsageError, match=r"^KERAS_BACKEND or keras\.json: backend='jax': must be 'tensorflow'"
    ):
        core.train(
            Settings(),
            Execution(),
            dataset_dir="/no/such/dataset",
            model_dir=str(tmp_path / "model"),
            curves_path=str(tmp_path / "curves.html"),
            events_dir=str(tmp_path / "events"),
        )


def test_what_is_called_validation_is_scored_on_the_validation_rows(
    model_dir: Path, dataset_dir: str
) -> None:
    """59,000 of them here, which the 1,000 training rows say little about."""
    dataset = Dataset.open(dataset_dir)
    images, labels = dataset.validation()
    raw = np.rint(images * dataset.pixel_scale).astype(np.uint8).reshape(-1, 28, 28)
    right = serving.load(str(model_dir))(raw).argmax(axis=1) == labels
    said = serving.read_provenance(str(model_dir))["validation_accuracy"]
    assert said == pytest.approx(right.mean(), abs=1e-4)
    last_epoch = (model_dir.parent / "curves.html").read_text(encoding="utf-8").rpartition("<tr>")[2]
    assert f"{right.mean():.4f}" in last_epoch


def test_the_curves_can_be_read_by_tensorboard(train_model: TrainModel) -> None:
    model_dir = train_model(epochs=2)
    [path] = (model_dir.parent / "events").iterdir()
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    curves = {
        (value.tag, event.step): tf.make_ndarray(value.tensor).item()
        for event in map(event_pb2.Event.FromString, records)
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "scalars"
    }
    provenance = serving.read_provenance(str(model_dir))
    for tag in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        assert {step for name, step in curves if name == tag} == {1, 2}
    assert curves["accuracy", 2] == pytest.approx(provenance["training_accuracy"])
    assert curves["validation_accuracy", 2] == pytest.approx(provenance["validation_accuracy"])
    assert curves["loss", 2] < curves["loss", 1]


def test_what_is_served_is_float32_whatever_it_was_trained_in(
    train_model: TrainModel, model_dir: Path
) -> None:
    graphs = [path / "saved_model.pb" for path in (model_dir, train_model(precision="mixed_bfloat16"))]
    assert graphs[0].read_bytes() == graphs[1].read_bytes()


def test_same_parameters_give_the_same_bytes(train_model: TrainModel) -> None:
    once, again, other = train_model(), train_model(), train_model(seed=1)
    assert tree(once) == tree(again)
    assert tree(once) != tree(other)


def test_a_checkpoint_is_of_this_code_these_parameters_and_these_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that other code began to train are not gone on with."""
    shutil.copytree(Path(core.__file__).parent, tmp_path / "train")
    monkeypatch.setattr(core, "__file__", str(tmp_path / "train" / "core.py"))
    names = [core._fingerprint({"seed": 0}), core._fingerprint({"seed": 1})]
    assert core._fingerprint({"seed": 0}) == names[0]
    for path in (tmp_path / "train").glob("*.py"):
        with path.open("a") as file:
            file.write("# changed\n")
        names.append(core._fingerprint({"seed": 0}))
    for package in ("tensorflow", "keras"):
        monkeypatch.setattr(f"{package}.__version__", "0")
        names.append(core._fingerprint({"seed": 0}))
    assert len(set(names)) == len(names) > 10


def test_the_log_has_the_summary_and_a_line_per_epoch(
    train_model: TrainModel, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = train_model(epochs=2)
    log = capsys.readouterr().out
    assert "Total params: 25,450" in log
    assert "epoch 1/2  loss " in log
    assert "epoch 2/2  loss " in log
    curves = (directory.parent / "curves.html").read_text(encoding="utf-8")
    assert curves.count("<polyline") == 4
    assert "<td>2</td>" in curves


def test_a_batch_larger_than_the_rows_is_refused(train_model: TrainModel) -> None:
    with pytest.raises(UsageError, match="batch_size=1001: must be from 1 to 1000"):
        train_model(batch_size=1001)


def test_a_loss_that_is_not_finite_stops_training_and_writes_nothing(
    train_model: TrainModel, dataset_dir: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"loss became (nan|inf) in epoch \d with learning_rate=1e\+30"):
        core.train(
            Settings(model_style="functional", hidden_units=[8, 8], epochs=3, learning_rate=1e30),
            Execution(),
            dataset_dir=dataset_dir,
            model_dir=str(tmp_path / "model"),
            curves_path=str(tmp_path / "curves.html"),
            events_dir=str(tmp_path / "events"),
        )
    assert not (tmp_path / "model").exists()
