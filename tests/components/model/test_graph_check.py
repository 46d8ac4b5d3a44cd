import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.errors import DataError
from components.model.graph_check import check_graph

Edit = Callable[[Any], object]


def export_module(directory: Path, call: Callable[[Any, Any], Any]) -> Path:
    """Saves a one-layer classifier whose serving signature is `call(weights, images)`."""
    import tensorflow as tf

    def serve(images: Any) -> dict[str, Any]:
        return {"probabilities": call(module.weights, images)}

    module = tf.Module()
    module.weights = tf.Variable(tf.ones([784, 10]))
    images_spec = tf.TensorSpec((None, 28, 28), tf.uint8, name="images")
    module.serve = tf.function(serve, input_signature=[images_spec])
    tf.saved_model.save(module, str(directory), signatures={"serving_default": module.serve})
    return directory


def classify(weights: Any, images: Any) -> Any:
    import tensorflow as tf

    pixels = tf.reshape(tf.cast(images, tf.float32), [-1, 784]) / 255.0
    return tf.nn.softmax(tf.nn.relu(tf.matmul(pixels, weights)))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_module(tmp_path_factory.mktemp("plain") / "model", classify)


def edited(plain: Path, directory: Path, edit: Edit) -> Path:
    """Copies the plain model with its graph changed by `edit(meta_graph)`."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(plain, directory)
    path = directory / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    edit(saved_model.meta_graphs[0])
    path.write_bytes(saved_model.SerializeToString())
    return directory


def function(meta_graph: Any, prefix: str) -> Any:
    return next(f for f in meta_graph.graph_def.library.function if f.signature.name.startswith(prefix))


def test_a_classifier_passes(plain: Path) -> None:
    check_graph(plain)


def test_an_op_that_writes_a_file_is_found_before_it_runs(tmp_path: Path) -> None:
    import tensorflow as tf

    target = tmp_path / "owned"

    def write(weights: Any, images: Any) -> Any:
        tf.io.write_file(str(target), "gotcha")
        return classify(weights, images)

    model_dir = export_module(tmp_path / "model", write)
    with pytest.raises(DataError, match="op WriteFile, which no digit classifier has; it is not loaded"):
        check_graph(model_dir)
    assert not target.exists()


def call_saver_in_signature(meta_graph: Any) -> None:
    saver = meta_graph.saver_def.save_tensor_name
    meta_graph.signature_def["serving_default"].outputs["probabilities"].name = saver


def call_saver_through_control_input(meta_graph: Any) -> None:
    node = next(node for node in meta_graph.graph_def.node if node.name == "StatefulPartitionedCall")
    node.input.append(f"^{meta_graph.saver_def.restore_op_name}")


def call_saver_in_function(meta_graph: Any) -> None:
    wrapper = function(meta_graph, "__inference_signature_wrapper")
    call = next(node for node in wrapper.node_def if node.op == "StatefulPartitionedCall")
    call.attr["f"].func.name = function(meta_graph, "__inference__traced_save").signature.name


def pass_saver_in_a_list(meta_graph: Any) -> None:
    node = function(meta_graph, "__inference_serve").node_def[0]
    node.attr["branches"].list.func.add().name = "__inference__traced_save_1"


def own_saver_node(meta_graph: Any) -> None:
    meta_graph.saver_def.restore_op_name = "StatefulPartitionedCall"


def restore_by_another_function(meta_graph: Any) -> None:
    name = meta_graph.saver_def.restore_op_name
    node = next(node for node in meta_graph.graph_def.node if node.name == name)
    node.attr["f"].func.name = function(meta_graph, "__inference_serve").signature.name


def call_saver_beside_the_saver(meta_graph: Any) -> None:
    node = meta_graph.graph_def.node.add(name="x", op="StatefulPartitionedCall")
    node.attr["f"].func.name = function(meta_graph, "__inference__traced_save").signature.name


def initialise_by_saving(meta_graph: Any) -> None:
    meta_graph.collection_def["saved_model_main_op"].node_list.value[0] = "StatefulPartitionedCall_1"


def save_through_a_sparse_output(meta_graph: Any) -> None:
    output = meta_graph.signature_def["serving_default"].outputs["probabilities"]
    output.coo_sparse.values_tensor_name = meta_graph.saver_def.save_tensor_name


def save_through_a_composite_output(meta_graph: Any) -> None:
    output = meta_graph.signature_def["serving_default"].outputs["probabilities"]
    output.composite_tensor.components.add(name=meta_graph.saver_def.save_tensor_name)


def save_through_a_sparse_input(meta_graph: Any) -> None:
    meta_graph.signature_def["serving_default"].inputs["images"].coo_sparse.values_tensor_name = "x:0"


def bound(meta_graph: Any, prefix: str) -> Any:
    """The object that a function is bound to directly."""
    nodes = (node.bare_concrete_function for node in meta_graph.object_graph_def.nodes)
    return next(node for node in nodes if node.concrete_function_name.startswith(prefix))


def save_as_a_signature(meta_graph: Any) -> None:
    """The object graph's own table of functions does not list it, and the loader finds it all the same."""
    save = function(meta_graph, "__inference__traced_save").signature.name
    bound(meta_graph, "__inference_signature_wrapper").concrete_function_name = save


def restore_as_a_method(meta_graph: Any) -> None:
    method = next(node for node in meta_graph.object_graph_def.nodes if node.WhichOneof("kind") == "function")
    method.function.concrete_functions[0] = function(meta_graph, "__inference__traced_restore").signature.name


def list_saver_as_own(meta_graph: Any) -> None:
    save = function(meta_graph, "__inference__traced_save").signature.name
    meta_graph.object_graph_def.concrete_functions[save].bound_inputs.append(0)


def swap_functions_by_interface(meta_graph: Any) -> None:
    """TensorFlow's optimiser puts functions that implement one interface in each other's place."""
    for prefix in ("__inference_serve", "__inference__traced_save"):
        function(meta_graph, prefix).attr["api_implements"].s = b"same"


def call_in_a_circle(meta_graph: Any) -> None:
    name = function(meta_graph, "__inference_signature_wrapper").signature.name
    call = function(meta_graph, "__inference_serve").node_def.add(name="x", op="PartitionedCall")
    call.attr["f"].func.name = name


def unfold(meta_graph: Any) -> None:
    """Adds 20 functions, each of which calls the one before twice: a million ops."""
    library = meta_graph.graph_def.library
    for number in range(20):
        added = library.function.add()
        added.signature.name = f"f{number}"
        for call in "ab":
            node = added.node_def.add(name=call, op="PartitionedCall" if number else "NoOp")
            if number:
                node.attr["f"].func.name = f"f{number - 1}"


def value_of_a_registered_class(meta_graph: Any) -> None:
    signature = next(iter(meta_graph.object_graph_def.concrete_functions.values()))
    signature.output_signature.dict_value.fields["x"].type_spec_value.type_spec_class_name = "Evil"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.ClearField("object_graph_def"), "a graph without objects"),
        (lambda m: m.object_graph_def.ClearField("nodes"), "a graph without objects"),
        (save_through_a_sparse_output, "a signature with a tensor of kind coo_sparse"),
        (save_through_a_composite_output, "a signature with a tensor of kind composite_tensor"),
        (save_through_a_sparse_input, "a signature with a tensor of kind coo_sparse"),
        (
            lambda m: m.signature_def["serving_default"].outputs["probabilities"].ClearField("name"),
            "a signature with a tensor of kind None",
        ),
        (save_as_a_signature, "checkpoint function '__inference__traced_save_.*' as one of its own"),
        (restore_as_a_method, "checkpoint function '__inference__traced_restore_.*' as one of its own"),
        (list_saver_as_own, "checkpoint function '__inference__traced_save_.*' as one of its own"),
        (swap_functions_by_interface, "function attribute 'api_implements'"),
        (
            lambda m: function(m, "__inference_serve").node_def[0].attr["_gradient_op_type"].SetInParent(),
            "attribute '_gradient_op_type' of op",
        ),
        (lambda m: m.graph_def.library.registered_gradients.add(), "gradients of its own"),
        (call_in_a_circle, "functions that call one another in a circle"),
        (unfold, "functions that unfold to more than 100000 ops"),
        (value_of_a_registered_class, "a value of a type of its own"),
        (
            lambda m: setattr(m.object_graph_def.nodes[0].user_object, "identifier", "optimizer"),
            "an object of class 'optimizer'",
        ),
        (lambda m: m.object_graph_def.nodes[0].slot_variables.add(), "an optimizer"),
        (
            lambda m: m.object_graph_def.nodes[0].serialized_user_proto.SetInParent(),
            "saves or restores itself",
        ),
        (lambda m: m.graph_def.node.add(name="x", op="PyFunc"), "op PyFunc"),
        (lambda m: function(m, "__inference_serve").node_def.add(name="x", op="ReadFile"), "op ReadFile"),
        (lambda m: function(m, "__inference_serve").node_def.add(name="x", op="SaveV2"), "op SaveV2"),
        (lambda m: function(m, "__inference__traced_restore").node_def.add(op="WriteFile"), "op WriteFile"),
        (lambda m: function(m, "__inference__traced_restore").node_def.add(op="SaveV2"), "op SaveV2"),
        (call_saver_in_signature, "a signature that saves"),
        (call_saver_through_control_input, "a signature that saves"),
        (call_saver_in_function, "a call to its checkpoint functions"),
        (pass_saver_in_a_list, "a call to its checkpoint functions"),
        (own_saver_node, "a saver of its own|a call to its checkpoint"),
        (restore_by_another_function, "a saver of its own"),
        (call_saver_beside_the_saver, "a call to its checkpoint functions"),
        (initialise_by_saving, "a signature that saves"),
        (lambda m: m.object_graph_def.nodes.add().resource.SetInParent(), "an object of kind resource"),
        (lambda m: m.object_graph_def.nodes.add().asset.SetInParent(), "an object of kind asset"),
        (
            lambda m: m.object_graph_def.nodes[0].saveable_objects["x"].SetInParent(),
            "saves or restores itself",
        ),
        (lambda m: m.collection_def["table_initializer"].SetInParent(), "collection 'table_initializer'"),
        (lambda m: m.asset_file_def.add(filename="x"), "asset files"),
        (lambda m: m.graph_def.library.gradient.add(), "gradients of its own"),
        (
            lambda m: setattr(m.object_graph_def.nodes[0], "registered_name", "x"),
            "saves or restores itself",
        ),
        (
            lambda m: setattr(m.object_graph_def.nodes[0], "registered_saver", "x"),
            "saves or restores itself",
        ),
        (
            lambda m: setattr(m.object_graph_def.nodes[0].user_object, "identifier", "_tf_keras_layer"),
            "a Keras object",
        ),
    ],
)
def test_what_a_classifier_does_not_have_is_found(
    plain: Path, tmp_path: Path, edit: Edit, message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        check_graph(edited(plain, tmp_path / "model", edit))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
def test_a_second_graph_is_refused(plain: Path, tmp_path: Path, name: str) -> None:
    model_dir = edited(plain, tmp_path / "model", lambda meta_graph: None)
    (model_dir / name).write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="a second graph"):
        check_graph(model_dir)


def test_what_is_not_a_graph_is_refused(plain: Path, tmp_path: Path) -> None:
    model_dir = edited(plain, tmp_path / "model", lambda meta_graph: None)
    (model_dir / "saved_model.pb").write_bytes(b"\xff not a graph")
    with pytest.raises(DataError, match="not a SavedModel graph"):
        check_graph(model_dir)
    (model_dir / "saved_model.pb").write_bytes(b"")
    with pytest.raises(DataError, match="has 0 graphs"):
        check_graph(model_dir)
    (model_dir / "saved_model.pb").write_bytes((plain / "saved_model.pb").read_bytes() * 2)
    with pytest.raises(DataError, match="has 2 graphs"):  # of which a loader might take the other
        check_graph(model_dir)
    os.truncate(model_dir / "saved_model.pb", (64 << 20) + 1)
    with pytest.raises(DataError, match="larger than 67108864 bytes"):
        check_graph(model_dir)
    (model_dir / "saved_model.pb").unlink()
    with pytest.raises(DataError, match=r"cannot read saved_model\.pb"):
        check_graph(model_dir)
