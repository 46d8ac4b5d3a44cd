"""Scores a challenger and the bucket's champion on the same test rows and decides which one is served."""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components import bucket, registry, serving
from components.dataset import Dataset
from components.errors import DataError
from components.evaluate import gate, limits, report
from components.evaluate.evaluation import Evaluation, Rival, reason, write
from components.evaluate.scores import predicted_digits, score
from components.graph_check import check_graph
from components.model_files import hash_model

BATCH_ROWS = 1_000  # rows that the serving signature takes at once, which bounds its memory


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
    dataset = Dataset.open(dataset_dir)
    _check_trained_on(dataset, model_dir)
    images, labels = dataset.test()
    probabilities = predict(model_dir, images)
    scores = score(probabilities, labels)
    print(f"challenger: accuracy {scores.accuracy:.4f} on {scores.rows} test rows", flush=True)

    right = predicted_digits(probabilities) == labels
    champion, generation = _score_champion(bucket_uri, images, labels, right)
    rules = gate.floor_rules(scores, min_accuracy=min_accuracy, min_digit_recall=min_digit_recall)
    if champion:
        rules.append(gate.champion_rule(scores, champion.scores, min_improvement=min_improvement))
    model_sha256 = hash_model(model_dir)
    unchanged = champion is not None and champion.version == model_sha256
    evaluation = Evaluation(
        scores=scores,
        champion=champion,
        rules=rules,
        blessed=all(rule.passed for rule in rules),
        unchanged=unchanged,
        reason=reason(rules, champion, unchanged),
        model_sha256=model_sha256,
        dataset_fingerprint=dataset.fingerprint,
        validation_overlaps_training=not dataset.facts["holdout"],
        pointer_generation=generation,
    )
    print(f"gate: {evaluation.reason}", flush=True)
    Path(report_path).write_text(report.to_html(evaluation))
    write(evaluation, evaluation_dir)
    return evaluation


def predict(model_dir: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns the probabilities [N, 10] that a SavedModel's serving signature gives raw images [N, 28, 28].

    Raises:
      DataError: not such a SavedModel, or a probability that is not finite.
    """
    check_graph(model_dir)  # before TensorFlow loads it: a SavedModel is code
    signature = serving.load(model_dir)
    batches = [signature(images[first : first + BATCH_ROWS]) for first in range(0, len(images), BATCH_ROWS)]
    probabilities = np.concatenate(batches)
    if not np.isfinite(probabilities).all():
        raise DataError(f"{model_dir}: gives probabilities that are not finite")
    return probabilities


def _check_trained_on(dataset: Dataset, model_dir: str) -> None:
    trained_on = serving.read_provenance(model_dir).get("dataset_fingerprint")
    if trained_on != dataset.fingerprint:
        raise DataError(
            f"{model_dir}: was trained on dataset {trained_on}, the one given is {dataset.fingerprint}"
        )


def _score_champion(
    bucket_uri: str, images: NDArray[np.uint8], labels: NDArray[np.uint8], challenger_right: NDArray[np.bool_]
) -> tuple[Rival | None, int]:
    """Downloads, verifies and scores the champion; returns it and its pointer's generation."""
    opened = bucket.open_bucket(bucket_uri)
    champion = registry.read_champion(opened)
    if champion is None:
        print(f"champion: none in {bucket_uri} yet", flush=True)
        return None, 0
    with tempfile.TemporaryDirectory(prefix="champion-") as scratch:
        directory = str(Path(scratch) / "model")
        registry.download_version(opened, champion.version, directory)
        probabilities = predict(directory, images)
    scores = score(probabilities, labels)
    print(f"champion: accuracy {scores.accuracy:.4f}, version {champion.version[:12]}", flush=True)
    comparison = gate.compare(challenger_right, predicted_digits(probabilities) == labels)
    return Rival(champion.version, scores, comparison), champion.generation
