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
      dataset: TFDS name: mnist, fashion_mnist or kmnist.
      mirror: where the archives are: a directory, gs://bucket/prefix or http(s)://base. Empty: the
        copy that ships with this component, else TFDS's own source.
      pixel_scale: what pixels 0..255 are divided by.
      validation_rows: how many of the last training rows validate.
      holdout: whether those rows are kept out of training.
      augment_factor: how often each training row is there: once as it is, further times shifted by up
        to 2 pixels and rotated by up to 10 degrees; validation rows are not.
      data_version: the caller's name for what the source holds now; another name is another cache entry.
      data: the dataset artifact.

    Returns:
      The dataset's fingerprint.
    """
    from components.errors import reported
    from components.imports import uncollected

    with uncollected():
        from components.ingest import core

    with reported():
        facts = core.ingest(
            dataset=dataset,
            mirror=mirror,
            pixel_scale=pixel_scale,
            validation_rows=validation_rows,
            holdout=holdout,
            augment_factor=augment_factor,
            data_version=data_version,
            data_dir=data.path,
        )
        data.metadata.update(core.summary(facts))
        return facts["fingerprint"]
