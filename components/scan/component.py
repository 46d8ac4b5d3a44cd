"""The KFP face of scan."""

from kfp import dsl


@dsl.component(base_image="mnist-pipeline/scan", install_kfp_package=False)
def scan(batches_uri: str) -> str:
    """Says which batches there are, so that ingest is cached for as long as they are the same.

    Args:
        batches_uri: Where they are; gs://bucket/prefix or a directory, or empty.

    Returns:
        A digest of their names and contents; empty for none.
    """
    from components.errors import reported
    from components.scan import core

    with reported():
        return core.scan(batches_uri=batches_uri)
