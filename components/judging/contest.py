"""The contest between a challenger and the champion, on the same test rows, each in a process of its own.

evaluate holds it before publishing; export holds it once more if another champion was promoted meanwhile.
"""

import dataclasses
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.dataset import Dataset
from components.errors import DataError
from components.judging import gate, lineage
from components.judging.evaluation import Evaluation, Rival, SliceScore, reason
from components.judging.scores import predicted_digits, score
from components.judging.thresholds import Thresholds
from components.model import serving
from components.model.prediction import predict
from components.registry import reading
from components.registry.files import hash_model
from components.storage.bucket import Bucket


def hold(dataset: Dataset, model_dir: str, bucket: Bucket, thresholds: Thresholds) -> Evaluation:
    """Scores the challenger in `model_dir` and the bucket's champion on all test rows, and applies the gate.

    The champion's stored figures are not trusted: its files are verified, its graph is checked, it is scored.
    Neither model runs in this process, which can write to the bucket.

    Raises:
      DataError: the model was trained on another dataset, or a model or the dataset is damaged.
      StorageError: the bucket cannot be read. An unreadable champion is never taken for none.
    """
    _check_trained_on(dataset, model_dir)
    model_sha256 = hash_model(model_dir)  # before any model runs: it is what the verdict is about
    images, labels = dataset.test()
    current = reading.read_champion(bucket)
    unchanged = current is not None and current.version == model_sha256
    probabilities, theirs = _predictions(model_dir, current, unchanged, bucket, images)
    scores = score(probabilities, labels)
    print(f"challenger: accuracy {scores.accuracy:.4f} on {scores.rows} test rows", flush=True)
    right, slices = predicted_digits(probabilities) == labels, dataset.test_slices()
    champion = _rival(current, theirs, labels, slices, right) if current else None
    print(f"champion: {_described(champion, bucket)}", flush=True)
    rules = gate.rules(scores, champion.match if champion else None, thresholds)
    data = lineage.data_facts(dataset)
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
        pointer_generation=current.generation if current else 0,
        slices=_slice_scores(slices, right, champion),
        data=data,
        judged_before=lineage.judged_on(bucket, data["test_sha256"]),
    )
    print(f"gate: {evaluation.reason}", flush=True)
    return evaluation


def _check_trained_on(dataset: Dataset, model_dir: str) -> None:
    trained_on = serving.read_provenance(model_dir).get("dataset_fingerprint")
    if trained_on != dataset.fingerprint:
        raise DataError(
            f"{model_dir}: was trained on dataset {trained_on}, the one given is {dataset.fingerprint}"
        )


def _predictions(
    model_dir: str,
    champion: reading.Champion | None,
    unchanged: bool,
    bucket: Bucket,
    images: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the probabilities of challenger and champion; the first twice if there is no other model."""
    if champion is None:
        alone = predict(model_dir, images)
        return alone, alone
    with tempfile.TemporaryDirectory(prefix="champion-") as scratch, ThreadPoolExecutor(2) as threads:
        directory = str(Path(scratch) / "model")
        reading.download_version(bucket, champion.version, directory)
        rivals = [model_dir] if unchanged else [model_dir, directory]  # the same bytes answer the same
        results = list(threads.map(lambda rival: predict(rival, images), rivals))
    return results[0], results[-1]


def _rival(
    champion: reading.Champion,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.uint8],
    slices: Mapping[str, slice],
    challenger_right: NDArray[np.bool_],
) -> Rival:
    right = predicted_digits(probabilities) == labels
    match = gate.Match(
        champion=score(probabilities, labels),
        comparison=gate.compare(challenger_right, right),
        parts=gate.parts_of(labels, slices, challenger_right, right),
    )
    return Rival(champion.version, match)


def _slice_scores(
    slices: Mapping[str, slice], right: NDArray[np.bool_], champion: Rival | None
) -> list[SliceScore]:
    theirs = {part.name: part.champion_accuracy for part in champion.match.parts} if champion else {}
    return [
        SliceScore(name, len(right[rows]), float(right[rows].mean()), theirs.get(f"slice {name}"))
        for name, rows in slices.items()
        if len(right[rows])
    ]


def _described(champion: Rival | None, bucket: Bucket) -> str:
    if champion is None:
        return f"none in {bucket.uri} yet"
    return f"accuracy {champion.scores.accuracy:.4f}, version {champion.version[:12]}"
