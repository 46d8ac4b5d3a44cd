"""Trains one digit classifier and writes it as a SavedModel. Source: notebook cells 3 to 6."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from components.dataset import Dataset
from components.errors import RetryableError, UsageError
from components.storage import uri
from components.train import cluster, curves, loop, models, saved_model
from components.train.checkpoints import Checkpoints, run_fingerprint
from components.train.run import Run
from components.train.settings import Execution, Settings


def train(
    settings: Settings,
    execution: Execution,
    *,
    dataset_dir: str,
    model_dir: str,
    curves_path: str,
    events_dir: str,
) -> dict[str, Any]:
    """Trains one digit classifier and exports it as a SavedModel.

    With several workers, by `TF_CONFIG`, every one calls this; only the chief writes.

    Args:
      settings: what decides the weights; a batch counts over all replicas.
      execution: what does not: what stays on the device, where checkpoints are.
      dataset_dir: a dataset artifact; images float32 [N, 784], labels [N] in 0..9.
      model_dir: where the SavedModel goes; its `serving_default` takes raw uint8 [N, 28, 28].
      curves_path: where the learning curves go, as one HTML page.
      events_dir: where they go for TensorBoard.

    Returns:
      What is written beside the graph: the settings and their fingerprint, the number of weights, the
      dataset's fingerprint, the accuracies of the last epoch (fractions, 0..1) and the weights' SHA-256.

    Raises:
      UsageError: a batch is larger than the training rows, or smaller than the number of replicas; or no
        model could be loaded from `model_dir`.
      DataError: the dataset or a checkpoint is damaged, or the loss stopped being finite.
      StorageError: checkpoints cannot be written.
      RetryableError: asked to stop, or another worker is gone; a rerun goes on from the last checkpoint.
    """
    uri.check_model_path(model_dir, "model")
    _pin_keras()
    settings = settings.resolved()
    dataset = Dataset.open(dataset_dir)
    images, labels = dataset.train()
    settings.check_rows(len(labels))
    facts = {**settings.as_dict(), "dataset_fingerprint": dataset.fingerprint}
    checkpoints = (
        Checkpoints(execution.checkpoint_uri, _fingerprint(facts)) if execution.checkpoint_uri else None
    )

    place = cluster.connect(os.environ.get("TF_CONFIG", ""))
    settings.check_replicas(place.replicas)
    with place.scope():
        model = models.build(settings)
    model.summary(line_length=80, print_fn=print)
    trainer = loop.Trainer(
        model,
        images,
        labels,
        settings=settings,
        resident_bytes=execution.resident_bytes,
        cluster=place,
    )
    validation = dataset.validation()
    validation = loop.fitting_rows(*validation, execution.resident_bytes - images.nbytes) or validation
    try:
        history = Run(
            trainer, validation, settings.epochs, checkpoints, events_dir, place.is_chief
        ).to_the_end()
    except cluster.LOST_WORKER as error:
        raise RetryableError(f"another worker is gone: {str(error).strip().splitlines()[0]}") from None

    # A model of its own: neither the strategy nor the precision of training is part of what is served.
    trained = models.build(dataclasses.replace(settings, precision="float32"))
    trained.set_weights(model.get_weights())
    provenance = {
        **facts,
        "settings_fingerprint": settings.fingerprint(),
        "parameters": trained.count_params(),
        "pixel_scale": dataset.pixel_scale,
        "training_accuracy": history[-1].accuracy,
        "validation_accuracy": history[-1].validation_accuracy,
        "weights_sha256": saved_model.weights_sha256(trained),
    }
    if place.is_chief:
        saved_model.write(trained, model_dir, dataset.pixel_scale, provenance)
        Path(curves_path).write_text(curves.to_html(_title(provenance), history), encoding="utf-8")
        if checkpoints:
            checkpoints.discard()
    return provenance


def _pin_keras() -> None:
    """Sets what Keras read from this machine when it was imported; a task's Keras has read nothing.

    Raises:
      UsageError: it computes with another backend, which cannot be changed any more.
    """
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise UsageError(f"KERAS_BACKEND or keras.json: backend={backend!r}: must be 'tensorflow' for train")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


def _fingerprint(facts: dict[str, Any]) -> str:
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    return run_fingerprint(facts | versions, list(Path(__file__).parent.glob("*.py")))


def _title(provenance: dict[str, Any]) -> str:
    layers = "-".join(str(units) for units in provenance["hidden_units"])
    return f"{provenance['model_style']} {layers}, seed {provenance['seed']}"
