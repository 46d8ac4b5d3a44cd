"""Is a SavedModel only a digit classifier? Answered from its graph, before TensorFlow loads it.

A SavedModel is code: an op such as WriteFile runs when the model is loaded or called. Its graph is parsed
here as plain data; only ops that a classifier computes with may be in it, and checkpoint ops only where
TensorFlow's own saver has them. There are two ways to a function, and both are checked: the object graph,
which Python's loader follows, and the main graph with its signatures, which TensorFlow Serving follows.
"""

import graphlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.errors import DataError
from components.imports import uncollected
from components.model.contract import GRAPH_FILE
from components.model.object_check import object_problems

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
_COLLECTIONS = frozenset(["saved_model_main_op"])
# Attributes without an underscore are the op's own. Others tell TensorFlow what to do with a node or a
# function, such as to put another function in its place (api_implements).
_NODE_MARKS = """
    _collective_manager_ids _has_manual_control_dependencies _output_shapes _read_only_resource_inputs
"""
_FUNCTION_MARKS = "_construction_context _input_shapes"
_MARKS = frozenset([*_NODE_MARKS.split(), *_FUNCTION_MARKS.split()])
_MAX_GRAPH_BYTES = 64 << 20
_MAX_UNFOLDED_OPS = 100_000  # a few functions that call each other twice unfold to any number


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
    library = meta_graph.graph_def.library
    if meta_graph.asset_file_def or library.gradient or library.registered_gradients:
        yield "asset files or gradients of its own"
    for name in set(meta_graph.collection_def) - _COLLECTIONS:
        yield f"collection {name!r}"
    yield from object_problems(meta_graph, _is_checkpoint_function)
    for function in library.function:
        yield from _function_problems(function)
    yield from _main_problems(meta_graph)
    yield from _unfolding_problems(meta_graph.graph_def)


def _function_problems(function: Any) -> Iterator[str]:
    allowed = COMPUTE_OPS
    for prefix, ops in _CHECKPOINT_OPS.items():
        if function.signature.name.startswith(prefix):
            allowed = COMPUTE_OPS | ops
    for name in set(function.attr) - _MARKS:
        yield f"function attribute {name[:80]!r}"
    for node in function.node_def:
        yield from _node_problems(node, allowed)
        if any(map(_is_checkpoint_function, _called(node))):
            yield "a call to its checkpoint functions"


def _node_problems(node: Any, allowed: frozenset[str]) -> Iterator[str]:
    if node.op not in allowed:
        yield f"op {node.op}"
    for name in node.attr:
        if name.startswith("_") and name not in _MARKS:
            yield f"attribute {name[:80]!r} of op {node.op}"


def _main_problems(meta_graph: Any) -> Iterator[str]:
    """Checks the main graph, where only TensorFlow's saver may call the checkpoint functions."""
    saver = meta_graph.saver_def
    saver_nodes = {saver.save_tensor_name.partition(":")[0]: _SAVE, saver.restore_op_name: _RESTORE}
    for node in meta_graph.graph_def.node:
        yield from _node_problems(node, COMPUTE_OPS)
        if node.name in saver_nodes:
            if not all(name.startswith(saver_nodes[node.name]) for name in _called(node)):
                yield "a saver of its own"
        elif any(map(_is_checkpoint_function, _called(node))):
            yield "a call to its checkpoint functions"
    tensors = [
        tensor
        for signature in meta_graph.signature_def.values()
        for tensor in (*signature.inputs.values(), *signature.outputs.values())
    ]
    for tensor in tensors:
        if tensor.WhichOneof("encoding") != "name":  # a composite one names more tensors, elsewhere
            yield f"a signature with a tensor of kind {tensor.WhichOneof('encoding')}"
    initial = [name for nodes in meta_graph.collection_def.values() for name in nodes.node_list.value]
    if saver_nodes.keys() & _reached(meta_graph.graph_def, [*(tensor.name for tensor in tensors), *initial]):
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


def _unfolding_problems(graph: Any) -> Iterator[str]:
    """Checks that functions do not call one another in a circle, or so often that no memory would do."""
    calls = {
        function.signature.name: [name for node in function.node_def for name in _called(node)]
        for function in graph.library.function
    }
    unfolded = {function.signature.name: len(function.node_def) for function in graph.library.function}
    try:
        order = [*graphlib.TopologicalSorter(calls).static_order()]
    except graphlib.CycleError:
        yield "functions that call one another in a circle"
        return
    for name in order:
        unfolded[name] = unfolded.get(name, 0) + sum(unfolded[called] for called in calls.get(name, ()))
    if max(unfolded.values(), default=0) > _MAX_UNFOLDED_OPS:
        yield f"functions that unfold to more than {_MAX_UNFOLDED_OPS} ops"


def _is_checkpoint_function(name: str) -> bool:
    return name.startswith(_CHECKPOINT_FUNCTIONS)


def _called(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)
