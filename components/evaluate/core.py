"""Scores a challenger and the bucket's champion on the same test rows and decides which one is served."""

from pathlib import Path

from components.dataset import Dataset
from components.evaluate import limits, report
from components.judging import contest
from components.judging.evaluation import Evaluation, write
from components.judging.gate import Thresholds
from components.storage.opening import open_bucket


def evaluate(
    *,
    dataset_dir: str,
    model_dir: str,
    report_path: str,
    evaluation_dir: str,
    bucket_uri: str,
    min_accuracy: float,
    min_digit_recall: float,
    min_improvement: float,
) -> Evaluation:
    """Scores a SavedModel through its serving signature on every test row and applies the gate.

    Args:
      dataset_dir: a dataset artifact; raw test images uint8 [N, 28, 28].
      model_dir: the challenger, a SavedModel.
      report_path: where the report goes, as one HTML page.
      evaluation_dir: where evaluation.json goes, which export checks again.
      bucket_uri: holds the champion; it is scored in this run, its stored figures are not trusted.
      min_accuracy: floor for the test accuracy, a fraction.
      min_digit_recall: floor for the recall of the weakest digit, a fraction.
      min_improvement: by how much the champion's accuracy must be beaten, a fraction; a tie keeps it.

    Raises:
      UsageError: a parameter is out of range.
      DataError: the model was trained on another dataset, or a model or the dataset is damaged.
      StorageError: the bucket cannot be read. An unreadable champion is never taken for none.
    """
    limits.check(
        min_accuracy=min_accuracy, min_digit_recall=min_digit_recall, min_improvement=min_improvement
    )
    thresholds = Thresholds(min_accuracy, min_digit_recall, min_improvement)
    evaluation = contest.hold(Dataset.open(dataset_dir), model_dir, open_bucket(bucket_uri), thresholds)
    Path(report_path).write_text(report.to_html(evaluation))
    write(evaluation, evaluation_dir)
    return evaluation
