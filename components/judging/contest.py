"""The contest between a challenger and the champion, on the same test rows in the same process.

evaluate holds it before publishing; export holds it once more if another champion was promoted meanwhile.
"""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.dataset import Dataset
from components.errors import DataError
from components.judging import gate
from components.judging.evaluation import Evaluation, Rival, reason
from components.judging.scores import predicted_digits, score
from components.judging.thresholds import Thresholds
from components.model import serving
from components.model.graph_check import check_graph
from components.registry import reading
from components.registry.files import hash_model
from components.storage.bucket import Bucket

BATCH_ROWS = 1_000  # rows that the serving signature takes at once, which bounds its memory


def hold(dataset: Dataset, model_dir: str, bucket: Bucket, thresholds: Thresholds) -> Evaluation:
    """Scores the challenger in `model_dir` and the bucket's champion on all test rows, and applies the gate.

    The champion's stored figures are not trusted: its files are verified, its graph is checked, it is scored.

    Raises:
      DataError: the model was trained on another dataset, or a model or the dataset is damaged.
      StorageError: the bucket cannot be read. An unreadable champion is never taken for none.
    """
    _check_trained_on(dataset, model_dir)
    images, labels = dataset.test()
    probabilities = predict(model_dir, images)
    scores = score(probabilities, labels)
    print(f"challenger: accuracy {scores.accuracy:.4f} on {scores.rows} test rows", flush=True)

    right = predicted_digits(probabilities) == labels
    champion, generation = _score_champion(bucket, images, labels, right)
    rules = gate.rules(scores, champion.scores if champion else None, thresholds)
    model_sha256 = hash_model(model_dir)
    unchanged = champion is not None and champion.version == model_sha256
    evaluation = Evaluation(
        scores=scores,
        champion=champion,
        thresholds=dataclasses.asdict(thresholds),
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
    bucket: Bucket, images: NDArray[np.uint8], labels: NDArray[np.uint8], challenger_right: NDArray[np.bool_]
) -> tuple[Rival | None, int]:
    """Downloads, verifies and scores the champion; returns it and its pointer's generation."""
    champion = reading.read_champion(bucket)
    if champion is None:
        print(f"champion: none in {bucket.uri} yet", flush=True)
        return None, 0
    with tempfile.TemporaryDirectory(prefix="champion-") as scratch:
        directory = str(Path(scratch) / "model")
        reading.download_version(bucket, champion.version, directory)
        probabilities = predict(directory, images)
    scores = score(probabilities, labels)
    print(f"champion: accuracy {scores.accuracy:.4f}, version {champion.version[:12]}", flush=True)
    comparison = gate.compare(challenger_right, predicted_digits(probabilities) == labels)
    return Rival(champion.version, scores, comparison), champion.generation
