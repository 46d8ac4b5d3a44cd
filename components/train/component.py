"""The KFP face of train."""

from typing import List  # noqa: UP035  # KFP renders typing.List as LIST in every Python it supports

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output


@dsl.component(base_image="mnist-pipeline/train", install_kfp_package=False)
def train(
    data: Input[Dataset],
    model: Output[Model],
    curves: Output[HTML],
    events: Output[Artifact],
    model_style: str,
    hidden_units: List[int],  # noqa: UP006
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    precision: str,
    resident_bytes: int,
    checkpoint_uri: str,
) -> None:
    """Trains one digit classifier and writes it as a SavedModel that takes raw pixels.

    Args:
        data: Dataset artifact from ingest.
        model: SavedModel; serving_default maps uint8 [N, 28, 28] to probabilities float32 [N, 10].
        curves: Loss and accuracy by epoch.
        events: The same as a TensorBoard log directory.
        model_style: sequential_add, sequential_list, functional or subclass.
        hidden_units: Sizes of the relu layers; [] for the notebook's.
        epochs: Passes over the training rows, at least 1.
        batch_size: Rows per optimiser update, at least 1.
        learning_rate: RMSprop step size, greater than 0.
        seed: First weights and row order are functions of it.
        precision: What is computed in; float32, mixed_bfloat16 or mixed_float16.
        resident_bytes: Rows of at most so many bytes stay on the device, others are streamed to it.
        checkpoint_uri: Where an interrupted run goes on from; gs://bucket/prefix or a directory, or empty.
    """
    from components.errors import reported
    from components.imports import uncollected

    with uncollected():
        from components.train import core

    with reported():
        model.metadata.update(
            core.train(
                dataset_dir=data.path,
                model_dir=model.path,
                curves_path=curves.path,
                events_dir=events.path,
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
        )
