"""The KFP face of ingest."""

from kfp import dsl


@dsl.component(base_image="mnist-pipeline/ingest", install_kfp_package=False)
def ingest(
    dataset: str,
    mirror: str,
    pixel_scale: float,
    validation_rows: int,
    holdout: bool,
    augment_factor: int,
    data_version: str,
    data: dsl.Output[dsl.Dataset],
) -> str:
    """Turns a dataset's original archives into checked, normalised, memory-mappable arrays.

    Args:
      data: the dataset artifact.

    Returns:
      The dataset's fingerprint.
    """
    given = dict(locals())  # each parameter by its name

    from components.errors import reported
    from components.imports import uncollected
    from components.ingest.settings import Settings

    with uncollected():
        from components.ingest import core

    with reported():
        facts = core.ingest(Settings.among(given), data.path)
        data.metadata.update(core.summary(facts))
        return facts["fingerprint"]
