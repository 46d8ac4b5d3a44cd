"""Trains one digit classifier and writes it as a SavedModel. Source: notebook cells 3 to 6."""

import math
import time
from pathlib import Path
from typing import Any

from components.dataset import Dataset
from components.errors import DataError
from components.train import curves, limits, loop, models, saved_model, styles


def train(
    *,
    dataset_dir: str,
    model_dir: str,
    curves_path: str,
    model_style: str,
    hidden_units: list[int],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> dict[str, Any]:
    """Trains one digit classifier and exports it as a SavedModel.

    Args:
      dataset_dir: a dataset artifact; images float32 [N, 784], labels [N] in 0..9.
      model_dir: where the SavedModel goes; its `serving_default` takes raw uint8 [N, 28, 28].
      curves_path: where the learning curves go, as one HTML page.
      model_style: one of `styles.NOTEBOOK_HIDDEN_UNITS`.
      hidden_units: sizes of the relu layers; empty for the notebook's.
      epochs: passes over the training rows.
      batch_size: rows per optimiser update.
      learning_rate: RMSprop step size, > 0.
      seed: first weights and row order are functions of it.

    Returns:
      What is written beside the graph: the parameters above, the number of weights, the dataset's
      fingerprint, the accuracies of the last epoch (fractions, 0..1) and the weights' SHA-256.

    Raises:
      UsageError: a parameter is out of range; an unknown `model_style` lists the known ones.
      DataError: the dataset is damaged, or the loss stopped being finite.
    """
    limits.check(
        model_style=model_style,
        hidden_units=hidden_units,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    dataset = Dataset.open(dataset_dir)
    images, labels = dataset.train()
    limits.check_batch_size(batch_size, len(labels))

    model = models.build(model_style, hidden_units, seed)
    model.summary(line_length=80, print_fn=print)
    trainer = loop.Trainer(
        model, images, labels, batch_size=batch_size, learning_rate=learning_rate, seed=seed
    )
    history = _fit(trainer, dataset, epochs, learning_rate)

    provenance = {
        "model_style": model_style,
        "hidden_units": list(styles.resolve_hidden_units(model_style, hidden_units)),
        "requested_hidden_units": list(hidden_units),
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "parameters": model.count_params(),
        "pixel_scale": dataset.pixel_scale,
        "dataset_fingerprint": dataset.fingerprint,
        "training_accuracy": history[-1].accuracy,
        "validation_accuracy": history[-1].validation_accuracy,
        "weights_sha256": saved_model.weights_sha256(model),
    }
    saved_model.write(model, model_dir, dataset.pixel_scale, provenance)
    Path(curves_path).write_text(curves.to_html(_title(provenance), history))
    return provenance


def _fit(trainer: loop.Trainer, dataset: Dataset, epochs: int, learning_rate: float) -> list[curves.Epoch]:
    validation_images, validation_labels = dataset.validation()
    history = []
    for epoch in range(1, epochs + 1):
        started = time.monotonic()
        for _ in trainer.run_epoch(epoch):
            pass
        scores = trainer.epoch_scores()
        if not math.isfinite(scores.loss):
            raise DataError(
                f"loss became {scores.loss} in epoch {epoch} with learning_rate={learning_rate}: "
                "must stay finite; nothing is exported"
            )
        validation = loop.score(trainer.model, validation_images, validation_labels)
        history.append(
            curves.Epoch(
                epoch=epoch,
                loss=scores.loss,
                accuracy=scores.accuracy,
                validation_loss=validation.loss,
                validation_accuracy=validation.accuracy,
                seconds=time.monotonic() - started,
            )
        )
        print(_epoch_line(history[-1], epochs), flush=True)
    return history


def _epoch_line(epoch: curves.Epoch, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs}  loss {epoch.loss:.4f}  accuracy {epoch.accuracy:.4f}"
        f"  validation loss {epoch.validation_loss:.4f}  validation accuracy {epoch.validation_accuracy:.4f}"
        f"  {epoch.seconds:.1f} s"
    )


def _title(provenance: dict[str, Any]) -> str:
    layers = "-".join(str(units) for units in provenance["hidden_units"])
    return f"{provenance['model_style']} {layers}, seed {provenance['seed']}"
