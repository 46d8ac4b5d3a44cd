"""Writes a trained model as a SavedModel whose bytes depend on nothing but the model."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

from components.model.contract import IMAGE_SHAPE, PIXELS, PROVENANCE, SIGNATURE
from components.model.normalisation import normalise

_FUNCTION_NUMBER = re.compile(r"(__inference_[A-Za-z_]+_)\d+\b")


def write(model: keras.Model, model_dir: str, pixel_scale: float, provenance: dict[str, Any]) -> None:
    """Writes `model` as a SavedModel that takes raw pixels; the same weights give the same bytes.

    Only the weights and the serving graph are saved: no Python classes, no optimiser, no pickle.

    Args:
      model: float32 [N, 784] to float32 [N, 10].
      pixel_scale: the scale of the dataset it was trained on, baked into the signature.
      provenance: JSON facts to keep beside the graph, see `serving.read_provenance`.
    """

    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.reshape(tf.cast(images, tf.float32), [-1, PIXELS])
        return {"probabilities": model(normalise(pixels, pixel_scale), training=False)}

    images_spec = tf.TensorSpec((None, *IMAGE_SHAPE), tf.uint8, name="images")
    served = tf.Module()
    served.weights = [variable.value for variable in model.variables]
    served.serve = tf.function(serve, input_signature=[images_spec])
    tf.saved_model.save(served, model_dir, signatures={SIGNATURE: served.serve})
    _forget_the_process(Path(model_dir))
    path = Path(model_dir) / PROVENANCE
    path.parent.mkdir()
    path.write_text(json.dumps(provenance, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def weights_sha256(model: keras.Model) -> str:
    """SHA-256 over the model's weights in layer order: shape, type and bytes of each."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(f"{weights.shape} {weights.dtype}\n".encode())
        digest.update(weights.tobytes())
    return digest.hexdigest()


def _forget_the_process(model_dir: Path) -> None:
    """Removes what depends on the process that wrote the model: how many functions it had traced before.

    TensorFlow numbers functions through the whole process, orders them by a hash of their names, and draws a
    random number into fingerprint.pb, which no loader needs. Without all that, a resumed training run
    publishes the very bytes of an undisturbed one.
    """
    (model_dir / "fingerprint.pb").unlink()
    path = model_dir / "saved_model.pb"
    text = text_format.MessageToString(saved_model_pb2.SavedModel.FromString(path.read_bytes()))
    saved_model = text_format.Parse(_FUNCTION_NUMBER.sub(r"\g<1>0", text), saved_model_pb2.SavedModel())
    library = saved_model.meta_graphs[0].graph_def.library
    functions = sorted(library.function, key=lambda function: function.signature.name)
    for function in functions:
        for argument in function.arg_attr.values():
            if argument.attr["_user_specified_name"].s.isdigit():
                del argument.attr["_user_specified_name"]
    del library.function[:]
    library.function.extend(functions)
    path.write_bytes(saved_model.SerializeToString(deterministic=True))
