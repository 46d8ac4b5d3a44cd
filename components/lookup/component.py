"""The KFP face of lookup."""

from typing import List  # noqa: UP035  # KFP renders typing.List as LIST in every Python it supports

from kfp import dsl


@dsl.component(base_image="mnist-pipeline/lookup", install_kfp_package=False)
def lookup(
    dataset_fingerprint: str,
    bucket_uri: str,
    settings: dsl.OutputPath(dict),  # type: ignore[valid-type]  # KFP's way to return a dict beside the answer
    skip_unchanged: bool,
    model_style: str,
    hidden_units: List[int],  # noqa: UP006
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    precision: str,
) -> bool:
    """Says whether there is anything to train, and with which settings.

    Args:
        dataset_fingerprint: Of the dataset artifact, from ingest.
        bucket_uri: Bucket that is searched; gs://bucket/prefix or a directory.
        settings: Train's parameters, checked and written out, for train to take whole.

    Returns:
        False if a model of this data, this code and these settings is published.
    """
    given = dict(locals())  # each parameter by its name

    from components.errors import reported
    from components.lookup import core
    from components.lookup.settings import Settings
    from components.train.settings import Settings as TrainSettings

    with reported():
        return core.lookup(
            Settings.among(given),
            TrainSettings.among(given),
            dataset_fingerprint=dataset_fingerprint,
            bucket_uri=bucket_uri,
            settings_path=settings,
        )
