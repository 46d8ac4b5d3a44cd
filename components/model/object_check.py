"""Are the objects of a SavedModel only a digit classifier's?

The object graph is what TensorFlow's own loader follows: it sets attributes, makes variables and binds
functions by the names that stand in it. Checked here as plain data, before it does.
"""

from collections.abc import Callable, Iterator
from typing import Any

_KINDS = frozenset(["user_object", "variable", "function", "bare_concrete_function"])
# What tf.Module, a list and a set of signatures are saved as; other names make the loader look for a class.
_PLAIN_OBJECTS = frozenset(["_generic_user_object", "trackable_list_wrapper", "signature_map"])


def object_problems(meta_graph: Any, is_checkpoint_function: Callable[[str], bool]) -> Iterator[str]:
    """Yields what is wrong with a graph's objects, in words.

    Args:
      meta_graph: the parsed graph.
      is_checkpoint_function: whether a function of that name saves or restores.
    """
    object_graph = meta_graph.object_graph_def
    if not object_graph.nodes:  # TensorFlow would load it the way of version 1, by the main graph alone
        yield "a graph without objects"
    for node in object_graph.nodes:
        yield from _node_problems(node)
    for name in _functions_of(object_graph):
        if is_checkpoint_function(name):
            yield f"checkpoint function {name!r} as one of its own"
    if any(_is_type_of_its_own(message) for message in _messages(object_graph)):
        yield "a value of a type of its own"


def _node_problems(node: Any) -> Iterator[str]:
    kind = node.WhichOneof("kind")
    if kind not in _KINDS:
        yield f"an object of kind {kind}"
    is_special = node.registered_name or node.registered_saver or node.HasField("serialized_user_proto")
    if node.saveable_objects or is_special:
        yield "an object that saves or restores itself"
    if node.slot_variables:
        yield "an optimizer"
    if kind == "user_object" and node.user_object.identifier.startswith("_tf_keras"):
        yield "a Keras object"
    elif kind == "user_object" and node.user_object.identifier not in _PLAIN_OBJECTS:
        yield f"an object of class {node.user_object.identifier[:80]!r}"


def _functions_of(object_graph: Any) -> Iterator[str]:
    """Yields every function that an object can be bound to; the table of functions need not list it."""
    yield from object_graph.concrete_functions
    for node in object_graph.nodes:
        yield from node.function.concrete_functions
        yield node.bare_concrete_function.concrete_function_name


def _is_type_of_its_own(message: Any) -> bool:
    """Whether it is a value that TensorFlow makes with a registered class: a composite tensor, say."""
    is_value = message.DESCRIPTOR.full_name == "tensorflow.StructuredValue"
    return bool(is_value and message.WhichOneof("kind") == "type_spec_value")


def _messages(message: Any) -> Iterator[Any]:
    """Yields a message and all that are in it; parsing has bounded how deep they are."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = [each for each in value.values() if hasattr(each, "ListFields")]
        else:
            inner = [value] if hasattr(value, "ListFields") else list(value)
        for each in inner:
            yield from _messages(each)
