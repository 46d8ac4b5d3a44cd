"""The KFP face of lookup."""

from typing import Any, Dict, List  # noqa: UP035  # KFP renders these as STRUCT and LIST in every Python

from kfp import dsl


@dsl.component(base_image="mnist-pipeline/lookup", install_kfp_package=False)
def lookup(
    news: Dict[str, Any],  # noqa: UP006
    bucket_uri: str,
    run_id: str,
    settings: dsl.OutputPath(dict),  # type: ignore[valid-type]  # KFP's way to return a dict beside the answer
    skip_unchanged: bool,
    min_new_rows: int,
    retrain_drift: float,
    max_age_days: float,
    min_hours_between: float,
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
        news: What ingest tells of the data: its fingerprint, rows and batches.
        bucket_uri: Bucket that is searched; gs://bucket/prefix or a directory.
        run_id: The run's id, under which notify finds why nothing was trained.
        settings: Train's parameters, checked and written out, for train to take whole.

    Returns:
        False if there is nothing to train, by the policy.
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
            news=news,
            bucket_uri=bucket_uri,
            settings_path=settings,
            run_id=run_id,
        )
