"""Another champion was promoted since the evaluation: evaluate against that one; promote or stand down."""

import importlib.util
from pathlib import Path

from components.errors import DataError, UsageError
from components.export.verdict import Verdict, from_facts
from components.json_objects import JsonObject
from components.storage.bucket import Bucket


def is_possible() -> bool:
    """Whether TensorFlow is installed here: it is in evaluate's image, not in export's small one."""
    return importlib.util.find_spec("tensorflow") is not None


def evaluate_again(
    earlier: Verdict,
    bucket: Bucket,
    dataset_dir: str | Path,
    model_dir: str | Path,
) -> Verdict:
    """Returns the verdict against the champion that the bucket has now, by the thresholds of the earlier one.

    TensorFlow is needed here and nowhere else in export: hardly any run comes this far.

    Raises:
      DataError: the dataset is not the one that was evaluated on, or it or a model is damaged.
    """
    from components.dataset import Dataset
    from components.judging import contest
    from components.judging.evaluation import facts
    from components.judging.thresholds import Thresholds

    dataset = Dataset.open(str(dataset_dir))
    evaluated_on = earlier.facts.get("dataset_fingerprint")
    if dataset.fingerprint != evaluated_on:
        raise DataError(f"dataset {dataset.fingerprint} is not the one evaluated on, {evaluated_on}")
    try:
        thresholds = Thresholds.read(earlier.facts.get("thresholds", {}), "evaluation.json: thresholds")
    except UsageError as error:
        raise DataError(str(error)) from None
    evaluation = contest.hold(dataset, str(model_dir), bucket, thresholds)
    return from_facts(JsonObject(facts(evaluation), "the new evaluation"))
