"""The KFP face of train."""

from typing import Any, Dict  # noqa: UP035  # KFP renders typing.Dict as STRUCT in every Python it supports

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output


@dsl.component(base_image="mnist-pipeline/train", install_kfp_package=False)
def train(
    data: Input[Dataset],
    model: Output[Model],
    curves: Output[HTML],
    events: Output[Artifact],
    settings: Dict[str, Any],  # noqa: UP006
    resident_bytes: int,
    checkpoint_uri: str,
) -> None:
    """Trains one digit classifier and writes it as a SavedModel that takes raw pixels.

    Args:
        data: Dataset artifact from ingest.
        model: SavedModel; serving_default maps uint8 [N, 28, 28] to probabilities float32 [N, 10].
        curves: Loss and accuracy by epoch.
        events: The same as a TensorBoard log directory.
        settings: Train's parameters, from lookup.
    """
    given = dict(locals())  # each parameter by its name

    from components.errors import reported
    from components.imports import pinned_keras, uncollected
    from components.train.settings import Execution, Settings

    with pinned_keras(), uncollected():
        from components.train import core

    with reported():
        facts = core.train(
            Settings.read(settings),
            Execution.among(given),
            dataset_dir=data.path,
            model_dir=model.path,
            curves_path=curves.path,
            events_dir=events.path,
        )
        model.metadata.update(facts)
