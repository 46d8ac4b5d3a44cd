"""The KFP face of evaluate."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output


@dsl.component(base_image="mnist-pipeline/evaluate", install_kfp_package=False)
def evaluate(
    data: Input[Dataset],
    model: Input[Model],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    report: Output[HTML],
    evaluation: Output[Artifact],
    bucket_uri: str,
    run_id: str,
    min_accuracy: float,
    min_digit_recall: float,
    min_improvement: float,
    max_p_value: float,
    max_slice_loss: float,
) -> bool:
    """Scores a model and the bucket's champion on every test row and decides whether it may be published.

    Args:
        data: Dataset artifact from ingest.
        model: SavedModel from train, scored through its serving signature.
        metrics: Accuracy, loss, recall and precision by digit.
        confusion: Confusion matrix over the test rows.
        report: The verdict and its reasons in words, scores by digit, confusion matrix.
        evaluation: Directory with evaluation.json, which export checks again.
        bucket_uri: Bucket that holds the champion; gs://bucket/prefix or a directory.
        run_id: The run's id, under which notify finds the verdict.

    Returns:
        Whether the gate is open.
    """
    given = dict(locals())  # each parameter by its name

    from components.errors import reported
    from components.evaluate import core
    from components.judging.thresholds import Thresholds

    with reported():
        result = core.evaluate(
            Thresholds.among(given),
            dataset_dir=data.path,
            model_dir=model.path,
            report_path=report.path,
            evaluation_dir=evaluation.path,
            bucket_uri=bucket_uri,
            run_id=run_id,
        )
    for name, value in result.metrics().items():
        metrics.log_metric(name, value)
    confusion.log_confusion_matrix([str(digit) for digit in range(10)], result.scores.confusion)
    evaluation.metadata["dataset_fingerprint"] = result.dataset_fingerprint
    evaluation.metadata["model_sha256"] = result.model_sha256
    return result.blessed
