"""Scores a challenger and the bucket's champion on the same test rows and decides which one is served."""

from pathlib import Path

from components.dataset import Dataset
from components.evaluate import report
from components.judging import contest
from components.judging.evaluation import Evaluation, facts, write
from components.judging.thresholds import Thresholds
from components.registry import conclusions
from components.registry.conclusions import Conclusion
from components.storage.opening import open_bucket


def evaluate(
    thresholds: Thresholds,
    *,
    dataset_dir: str,
    model_dir: str,
    report_path: str,
    evaluation_dir: str,
    bucket_uri: str,
    run_id: str,
) -> Evaluation:
    """Scores a SavedModel through its serving signature on every test row and applies the gate.

    Args:
      thresholds: what the gate asks for.
      dataset_dir: a dataset artifact; raw test images uint8 [N, 28, 28].
      model_dir: the challenger, a SavedModel.
      report_path: where the report goes, as one HTML page.
      evaluation_dir: where evaluation.json goes, which export checks again.
      bucket_uri: holds the champion; it is scored in this run, its stored figures are not trusted.
      run_id: the run's, for notify.

    Raises:
      DataError: the model was trained on another dataset, or a model or the dataset is damaged.
      StorageError: the bucket cannot be read. An unreadable champion is never taken for none.
    """
    dataset = Dataset.open(dataset_dir)
    evaluation = contest.hold(dataset, model_dir, open_bucket(bucket_uri), thresholds)
    page = report.to_html(evaluation, dataset.facts.get("slices", [])[1:])
    Path(report_path).write_text(page, encoding="utf-8")
    write(evaluation, evaluation_dir)
    conclusions.leave(bucket_uri, run_id, Conclusion.of_evaluation(facts(evaluation)))
    return evaluation
