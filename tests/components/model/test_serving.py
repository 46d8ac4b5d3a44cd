import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.dataset import Dataset
from components.errors import DataError
from components.model import contract, serving
from components.model.graph_check import check_graph
from components.model.normalisation import normalise
from components.train import models, saved_model
from tests.components.model.test_graph_check import Edit, classify, edited, export_module, function
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


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_module(tmp_path_factory.mktemp("plain") / "model", classify)


@pytest.mark.parametrize("name", ["variables.data-00000-of-00001", "variables.index"])
@pytest.mark.parametrize("size", [None, 0, 40, -1])
def test_damaged_weights_are_said_in_one_line(
    plain: Path, tmp_path: Path, name: str, size: int | None
) -> None:
    model_dir = shutil.copytree(plain, tmp_path / "model")
    path = model_dir / "variables" / name
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    refused(model_dir)


def refused(model_dir: Path) -> None:
    with pytest.raises(DataError, match=r"not a SavedModel with serving_default|fails: ") as error:
        serving.load(str(model_dir))(np.zeros((2, 28, 28), np.uint8))
    assert "\n" not in str(error.value)


def first(meta_graph: Any, kind: str) -> Any:
    """The first object of that kind."""
    return next(node for node in meta_graph.object_graph_def.nodes if node.WhichOneof("kind") == kind)


def drop_the_objects_children(meta_graph: Any) -> None:
    meta_graph.object_graph_def.nodes[0].ClearField("children")


def name_an_absent_child(meta_graph: Any) -> None:
    meta_graph.object_graph_def.nodes[0].children[0].node_id = 999


def depend_on_itself(meta_graph: Any) -> None:
    meta_graph.object_graph_def.nodes[2].dependencies.add(node_id=2, local_name="x")


def put_a_child_in_anothers_place(meta_graph: Any) -> None:
    signatures = next(
        n for n in meta_graph.object_graph_def.nodes if n.user_object.identifier == "signature_map"
    )
    signatures.children[0].node_id = 0


def bind_an_absent_variable(meta_graph: Any) -> None:
    next(iter(meta_graph.object_graph_def.concrete_functions.values())).bound_inputs[0] = 999


def name_an_absent_function(meta_graph: Any) -> None:
    first(meta_graph, "bare_concrete_function").bare_concrete_function.concrete_function_name = "absent"


def forget_the_arguments(meta_graph: Any) -> None:
    first(meta_graph, "function").function.function_spec.ClearField("fullargspec")


def forget_a_type(meta_graph: Any) -> None:
    first(meta_graph, "variable").variable.ClearField("dtype")


def forget_a_shape(meta_graph: Any) -> None:
    first(meta_graph, "variable").variable.shape.dim[0].size = 5


def forget_a_function(meta_graph: Any) -> None:
    del meta_graph.graph_def.library.function[:]


def loop_in_a_function(meta_graph: Any) -> None:
    body = function(meta_graph, "__inference_serve")
    relu = next(node for node in body.node_def if node.op == "Relu")
    matmul = next(node for node in body.node_def if node.op == "MatMul")
    matmul.input[0] = f"{relu.name}:activations:0"


def cut_a_constant(meta_graph: Any) -> None:
    for node in function(meta_graph, "__inference_serve").node_def:
        if node.op == "Const":
            node.attr["value"].tensor.tensor_content = b"x"


@pytest.mark.parametrize(
    "edit",
    [
        drop_the_objects_children,
        name_an_absent_child,
        depend_on_itself,
        put_a_child_in_anothers_place,
        bind_an_absent_variable,
        name_an_absent_function,
        forget_the_arguments,
        forget_a_type,
        forget_a_shape,
        forget_a_function,
        loop_in_a_function,
        cut_a_constant,
    ],
)
def test_a_crafted_graph_is_said_in_one_line(plain: Path, tmp_path: Path, edit: Edit) -> None:
    """Graphs of harmless ops and objects, which only the loader finds out not to fit together."""
    model_dir = edited(plain, tmp_path / "model", edit)
    check_graph(model_dir)
    refused(model_dir)


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_provenance_that_train_did_not_write_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / contract.PROVENANCE).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"model\.json"):
        serving.read_provenance(str(tmp_path))
