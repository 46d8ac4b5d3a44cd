"""The KFP face of lookup."""

from typing import List  # noqa: UP035  # KFP renders typing.List as LIST in every Python it supports

from kfp import dsl


@dsl.component(base_image="mnist-pipeline/lookup", install_kfp_package=False)
def lookup(
    dataset_fingerprint: str,
    bucket_uri: str,
    skip_unchanged: bool,
    model_style: str,
    hidden_units: List[int],  # noqa: UP006
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    precision: str,
) -> bool:
    """Says whether there is anything to train: the same may have been published already.

    Args:
        dataset_fingerprint: Of the dataset artifact, from ingest.
        bucket_uri: Bucket that is searched; gs://bucket/prefix or a directory.
        skip_unchanged: Whether to search at all; if not, there is always something to train.
        model_style: As train has it; so are the others.
        hidden_units: Sizes of the relu layers; [] for the notebook's.
        epochs: Passes over the training rows.
        batch_size: Rows per optimiser update.
        learning_rate: RMSprop step size.
        seed: First weights and row order are functions of it.
        precision: What is computed in.

    Returns:
        False if a model of this data, this code and these parameters is published.
    """
    from components.errors import reported
    from components.lookup import core

    with reported():
        return core.lookup(
            dataset_fingerprint=dataset_fingerprint,
            bucket_uri=bucket_uri,
            skip_unchanged=skip_unchanged,
            model_style=model_style,
            hidden_units=hidden_units,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            precision=precision,
        )
