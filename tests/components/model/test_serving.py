from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.dataset import Dataset
from components.errors import DataError
from components.model import contract, serving
from components.model.normalisation import normalise
from components.train import models, saved_model
from tests.conftest import untrained


@pytest.mark.parametrize("model_style", models.BUILDERS)
def test_the_signature_takes_raw_pixels_and_normalises_as_training_did(
    model_style: str, tmp_path: Path
) -> None:
    model = untrained(model_style, [16], seed=0)
    saved_model.write(model, str(tmp_path / "model"), 225.0, {"seed": 0})
    images = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
    served = serving.load(str(tmp_path / "model"))(images)
    trained_on = normalise(images.reshape(7, 784).astype(np.float32), 225.0)
    np.testing.assert_allclose(served, np.asarray(model(trained_on)), rtol=1e-5)
    assert served.dtype == np.float32
    assert served.shape == (7, 10)


def test_any_number_of_images_can_be_asked_for(model_dir: Path, dataset_dir: str) -> None:
    predict = serving.load(str(model_dir))
    images, _ = Dataset.open(dataset_dir).test()
    assert predict(images[:0]).shape == (0, 10)
    np.testing.assert_allclose(predict(images[:1])[0], predict(images[:9])[0], rtol=1e-5)


def test_only_weights_and_graph_are_saved(model_dir: Path) -> None:
    names = [name for name, _ in tf.train.list_variables(str(model_dir / "variables" / "variables"))]
    assert [name.split("/")[0] for name in names] == ["_CHECKPOINTABLE_OBJECT_GRAPH"] + ["weights"] * 4


def test_no_savedmodel_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a SavedModel with serving_default") as error:
        serving.load(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_signature_of_another_shape_is_refused(tmp_path: Path) -> None:
    module = tf.Module()
    module.serve = tf.function(
        lambda images: {"probabilities": tf.cast(images, tf.float32)},
        input_signature=[tf.TensorSpec((None, 10), tf.uint8, name="images")],
    )
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.serve})
    with pytest.raises(DataError, match=r"serving_default is .* must be"):
        serving.load(str(tmp_path / "model"))


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_provenance_that_train_did_not_write_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / contract.PROVENANCE).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"model\.json"):
        serving.read_provenance(str(tmp_path))
