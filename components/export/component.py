"""The KFP face of export."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output


@dsl.component(base_image="mnist-pipeline/export", install_kfp_package=False)
def export(
    data: Input[Dataset],
    model: Input[Model],
    evaluation: Input[Artifact],
    bucket_uri: str,
    run_id: str,
    published: Output[Artifact],
) -> bool:
    """Publishes a blessed model to a bucket and makes it the champion; all of it or nothing.

    If another champion was promoted since the evaluation, the model is evaluated against that one: here if
    TensorFlow is here, else by this component once more, in evaluate's image.

    Args:
      data: Dataset artifact from ingest.
      model: SavedModel from train.
      evaluation: Directory with evaluation.json from evaluate, whose verdict is checked again.
      bucket_uri: Where models are published; gs://bucket/prefix or a directory.
      run_id: The run's id, under which notify finds what was published.
      published: Directory with published.json: version, model and serving URI.

    Returns:
      Whether another champion came first and TensorFlow is not here; then nothing was published.
    """
    from components.errors import reported
    from components.export import core

    with reported():
        facts = core.export(
            dataset_dir=data.path,
            model_dir=model.path,
            evaluation_dir=evaluation.path,
            bucket_uri=bucket_uri,
            published_dir=published.path,
            run_id=run_id,
        )
    overtaken = facts is None
    published.metadata.update(facts or {"overtaken": True})
    return overtaken
