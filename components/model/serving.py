"""Loads a model through its serving signature, as evaluate and a server do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from components import json_objects
from components.errors import DataError
from components.imports import uncollected
from components.model.contract import CLASSES, IMAGE_SHAPE, PROVENANCE, SIGNATURE

_PROVENANCE_BYTES = 1 << 20
_WANTED = {
    "images": ("uint8", [None, *IMAGE_SHAPE]),
    "probabilities": ("float32", [None, CLASSES]),
}


def read_provenance(model_dir: str) -> dict[str, Any]:
    """Returns what train wrote beside the graph: model_style, hidden_units, seed, weights_sha256.

    Raises:
      DataError: the file is missing or is not a JSON object.
    """
    path = Path(model_dir) / PROVENANCE
    try:
        with path.open("rb") as file:
            data = file.read(_PROVENANCE_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: not a model that train wrote: {error.strerror}") from None
    if len(data) > _PROVENANCE_BYTES:
        raise DataError(f"{path}: larger than {_PROVENANCE_BYTES} bytes")
    return json_objects.parse(data, str(path)).values


def load(model_dir: str) -> Callable[[Any], Any]:
    """Returns the serving signature: uint8 [N, 28, 28] to a float32 [N, 10] NumPy array.

    Raises:
      DataError: no SavedModel, no such signature, or one with other shapes or types. The signature raises it
        too, if it fails.
    """
    with uncollected():
        import tensorflow as tf

    try:
        # The object owns the weights: keep it alive as long as its signature.
        loaded = tf.saved_model.load(model_dir)
        signature = loaded.signatures[SIGNATURE]
        found = _found(signature)
    except Exception as error:  # of a graph that TensorFlow did not write, its loader trips over anything
        raise DataError(f"{model_dir}: not a SavedModel with {SIGNATURE}: {_first_line(error)}") from error
    if found != _WANTED:
        raise DataError(f"{model_dir}: {SIGNATURE} is {found}, must be {_WANTED}")

    def predict(images: Any) -> Any:
        try:
            return signature(images=tf.constant(images))["probabilities"].numpy()
        except Exception as error:  # as above, only later
            raise DataError(f"{model_dir}: {SIGNATURE} fails: {_first_line(error)}") from error

    predict.loaded = loaded  # type: ignore[attr-defined]
    return predict


def _found(signature: Any) -> dict[str, tuple[str, list[int | None]]]:
    """Returns type and shape of each input and output by name."""
    _, inputs = signature.structured_input_signature
    specs = {**inputs, **signature.structured_outputs}
    return {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in specs.items()}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
