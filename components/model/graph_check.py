"""Is a SavedModel only a digit classifier? Answered from its graph, before TensorFlow loads it.

A SavedModel is code: an op such as WriteFile runs when the model is loaded or called. Its graph is parsed
here as plain data; only ops that a classifier computes with may be in it, and checkpoint ops only where
TensorFlow's own saver has them.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.errors import DataError
from components.imports import uncollected
from components.model.contract import GRAPH_FILE

_COMPUTE_OPS = """
    AddV2 BiasAdd Cast Const Identity MatMul Mul NoOp Pack PartitionedCall Placeholder ReadVariableOp RealDiv
    Relu Reshape Shape Softmax StatefulPartitionedCall StridedSlice VarHandleOp
"""
_SAVE_OPS = """
    DisableCopyOnRead MergeV2Checkpoints SaveV2 Select ShardedFilename StaticRegexFullMatch StringJoin
"""
_RESTORE_OPS = "AssignVariableOp RestoreV2"
COMPUTE_OPS = frozenset(_COMPUTE_OPS.split())
_SAVE, _RESTORE = "__inference__traced_save_", "__inference__traced_restore_"
_CHECKPOINT_OPS = {_SAVE: frozenset(_SAVE_OPS.split()), _RESTORE: frozenset(_RESTORE_OPS.split())}
_CHECKPOINT_FUNCTIONS = tuple(_CHECKPOINT_OPS)
_OBJECTS = frozenset(["user_object", "variable", "function", "bare_concrete_function"])
_COLLECTIONS = frozenset(["saved_model_main_op"])
_MAX_GRAPH_BYTES = 64 << 20


def check_graph(model_dir: str | os.PathLike[str]) -> None:
    """Checks the graph of a SavedModel that is not trusted; imports TensorFlow for its message types only.

    Raises:
      DataError: it has an op, an object or a file that no digit classifier needs, or cannot be parsed.
    """
    root = Path(model_dir)
    try:
        for problem in _problems(root, _meta_graph(root)):
            raise DataError(f"model {root}: {problem}, which no digit classifier has; it is not loaded")
    except OSError as error:
        raise DataError(f"model {root}: cannot read {GRAPH_FILE}: {error.strerror}") from None


def _meta_graph(root: Path) -> Any:
    from google.protobuf.message import DecodeError

    with uncollected():
        from tensorflow.core.protobuf import saved_model_pb2

    path = root / GRAPH_FILE
    if path.stat().st_size > _MAX_GRAPH_BYTES:
        raise DataError(f"{path}: larger than {_MAX_GRAPH_BYTES} bytes; it is not loaded")
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except DecodeError:
        raise DataError(f"{path}: not a SavedModel graph") from None
    if len(saved_model.meta_graphs) != 1:
        raise DataError(f"{path}: has {len(saved_model.meta_graphs)} graphs, must have 1")
    return saved_model.meta_graphs[0]


def _problems(root: Path, meta_graph: Any) -> Iterator[str]:
    """Yields what is wrong with a model, in words."""
    for path in root.glob("saved_model.*"):
        if path.name != GRAPH_FILE:  # a loader may prefer it to the graph that was checked
            yield f"a second graph, {path.name}"
    if meta_graph.asset_file_def or meta_graph.graph_def.library.gradient:
        yield "asset files or gradients of its own"
    for name in set(meta_graph.collection_def) - _COLLECTIONS:
        yield f"collection {name!r}"
    yield from _object_problems(meta_graph.object_graph_def)
    for function in meta_graph.graph_def.library.function:
        yield from _function_problems(function)
    yield from _main_problems(meta_graph)


def _object_problems(object_graph: Any) -> Iterator[str]:
    for node in object_graph.nodes:
        kind = node.WhichOneof("kind")
        if kind not in _OBJECTS:
            yield f"an object of kind {kind}"
        if node.saveable_objects or node.registered_name or node.registered_saver:
            yield "an object that saves or restores itself"
        if kind == "user_object" and node.user_object.identifier.startswith("_tf_keras"):
            yield "a Keras object"
    for name in object_graph.concrete_functions:
        if name.startswith(_CHECKPOINT_FUNCTIONS):
            yield f"checkpoint function {name!r} as one of its own"


def _function_problems(function: Any) -> Iterator[str]:
    allowed = COMPUTE_OPS
    for prefix, ops in _CHECKPOINT_OPS.items():
        if function.signature.name.startswith(prefix):
            allowed = COMPUTE_OPS | ops
    for node in function.node_def:
        if node.op not in allowed:
            yield f"op {node.op}"
        if any(name.startswith(_CHECKPOINT_FUNCTIONS) for name in _called(node)):
            yield "a call to its checkpoint functions"


def _main_problems(meta_graph: Any) -> Iterator[str]:
    """Checks the main graph, where only TensorFlow's saver may call the checkpoint functions."""
    saver = meta_graph.saver_def
    saver_nodes = {saver.save_tensor_name.partition(":")[0]: _SAVE, saver.restore_op_name: _RESTORE}
    for node in meta_graph.graph_def.node:
        if node.op not in COMPUTE_OPS:
            yield f"op {node.op}"
        if node.name in saver_nodes:
            if not all(name.startswith(saver_nodes[node.name]) for name in _called(node)):
                yield "a saver of its own"
        elif any(name.startswith(_CHECKPOINT_FUNCTIONS) for name in _called(node)):
            yield "a call to its checkpoint functions"
    roots = [
        tensor.name
        for signature in meta_graph.signature_def.values()
        for tensor in signature.outputs.values()
    ]
    initial = [name for nodes in meta_graph.collection_def.values() for name in nodes.node_list.value]
    if saver_nodes.keys() & _reached(meta_graph.graph_def, [*roots, *initial]):
        yield "a signature that saves or restores"


def _reached(graph: Any, tensors: list[str]) -> set[str]:
    """Returns the names of all nodes that the tensors depend on."""
    inputs = {node.name: list(node.input) for node in graph.node}
    reached: set[str] = set()
    pending = list(tensors)
    while pending:
        name = pending.pop().removeprefix("^").partition(":")[0]
        if name not in reached:
            reached.add(name)
            pending.extend(inputs.get(name, ()))
    return reached


def _called(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)
