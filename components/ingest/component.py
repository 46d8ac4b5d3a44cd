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
    max_drift: float,
    batches_uri: str,
    batches_digest: str,
    data: dsl.Output[dsl.Dataset],
    news: dsl.OutputPath(dict),  # type: ignore[valid-type]  # KFP's way to return a dict beside the answer
) -> str:
    """Turns a dataset's original archives into checked, normalised, memory-mappable arrays.

    Args:
      batches_uri: where batches are; gs://bucket/prefix or a directory, or empty.
      batches_digest: of the batches that scan found there; another digest is another cache entry.
      data: the dataset artifact.
      news: what lookup needs to know of it.

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
        facts = core.ingest(
            Settings.among(given), data.path, batches_uri=batches_uri, batches_digest=batches_digest
        )
        data.metadata.update(core.summary(facts))
        core.tell(facts, news)
        return facts["fingerprint"]
