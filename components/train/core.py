"""Trains one digit classifier and writes it as a SavedModel. Source: notebook cells 3 to 6."""

import os
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from components.dataset import Dataset
from components.errors import RetryableError
from components.train import cluster, curves, limits, loop, models, saved_model, styles
from components.train.checkpoints import Checkpoints, run_fingerprint
from components.train.run import Run


def train(
    *,
    dataset_dir: str,
    model_dir: str,
    curves_path: str,
    events_dir: str,
    model_style: str,
    hidden_units: list[int],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    precision: str,
    resident_bytes: int,
    checkpoint_uri: str,
) -> dict[str, Any]:
    """Trains one digit classifier and exports it as a SavedModel.

    With several workers, by `TF_CONFIG`, every one calls this; only the chief writes.

    Args:
      dataset_dir: a dataset artifact; images float32 [N, 784], labels [N] in 0..9.
      model_dir: where the SavedModel goes; its `serving_default` takes raw uint8 [N, 28, 28].
      curves_path: where the learning curves go, as one HTML page.
      events_dir: where they go for TensorBoard.
      model_style: one of `styles.NOTEBOOK_HIDDEN_UNITS`.
      hidden_units: sizes of the relu layers; empty for the notebook's.
      epochs: passes over the training rows.
      batch_size: rows per optimiser update, over all replicas.
      learning_rate: RMSprop step size, > 0.
      seed: first weights and row order are functions of it.
      precision: one of `limits.PRECISIONS`.
      resident_bytes: rows of at most so many bytes stay on the device, others are streamed to it.
      checkpoint_uri: where an interrupted run goes on from; "" to start anew each time.

    Returns:
      What is written beside the graph: the parameters above, the number of weights, the dataset's
      fingerprint, the accuracies of the last epoch (fractions, 0..1) and the weights' SHA-256.

    Raises:
      UsageError: a parameter is out of range; an unknown `model_style` lists the known ones.
      DataError: the dataset or a checkpoint is damaged, or the loss stopped being finite.
      StorageError: checkpoints cannot be written.
      RetryableError: asked to stop, or another worker is gone; a rerun goes on from the last checkpoint.
    """
    limits.check(
        model_style=model_style,
        hidden_units=hidden_units,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        precision=precision,
        resident_bytes=resident_bytes,
        checkpoint_uri=checkpoint_uri,
    )
    dataset = Dataset.open(dataset_dir)
    images, labels = dataset.train()
    limits.check_batch_size(batch_size, len(labels))
    parameters = {
        "model_style": model_style,
        "hidden_units": list(styles.resolve_hidden_units(model_style, hidden_units)),
        "requested_hidden_units": [int(units) for units in hidden_units],
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "precision": precision,
        "dataset_fingerprint": dataset.fingerprint,
    }
    checkpoints = Checkpoints(checkpoint_uri, _fingerprint(parameters)) if checkpoint_uri else None

    place = cluster.connect(os.environ.get("TF_CONFIG", ""))
    limits.check_replicas(place.replicas, batch_size)
    with place.scope():
        model = models.build(model_style, hidden_units, seed, precision)
    model.summary(line_length=80, print_fn=print)
    trainer = loop.Trainer(
        model,
        images,
        labels,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        resident_bytes=resident_bytes,
        cluster=place,
    )
    validation = dataset.validation()
    validation = loop.fitting_rows(*validation, resident_bytes - images.nbytes) or validation
    try:
        history = Run(trainer, validation, epochs, checkpoints, events_dir, place.is_chief).to_the_end()
    except cluster.LOST_WORKER as error:
        raise RetryableError(f"another worker is gone: {str(error).strip().splitlines()[0]}") from None

    # A model of its own: neither the strategy nor the precision of training is part of what is served.
    trained = models.build(model_style, hidden_units, seed)
    trained.set_weights(model.get_weights())
    provenance = {
        **parameters,
        "parameters": trained.count_params(),
        "pixel_scale": dataset.pixel_scale,
        "training_accuracy": history[-1].accuracy,
        "validation_accuracy": history[-1].validation_accuracy,
        "weights_sha256": saved_model.weights_sha256(trained),
    }
    if place.is_chief:
        saved_model.write(trained, model_dir, dataset.pixel_scale, provenance)
        Path(curves_path).write_text(curves.to_html(_title(provenance), history))
        if checkpoints:
            checkpoints.discard()
    return provenance


def _fingerprint(parameters: dict[str, Any]) -> str:
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    return run_fingerprint(parameters | versions, list(Path(__file__).parent.glob("*.py")))


def _title(provenance: dict[str, Any]) -> str:
    layers = "-".join(str(units) for units in provenance["hidden_units"])
    return f"{provenance['model_style']} {layers}, seed {provenance['seed']}"
