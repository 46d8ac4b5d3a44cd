"""Another champion was promoted since the evaluation: evaluate against that one; promote or stand down."""

from pathlib import Path

from components.bucket import Bucket
from components.errors import DataError, GateError
from components.export.verdict import Verdict, from_facts
from components.registry_publish import ChampionMovedError


def evaluate_again(
    moved: ChampionMovedError,
    earlier: Verdict,
    bucket: Bucket,
    dataset_dir: str | Path,
    model_dir: str | Path,
) -> Verdict:
    """Returns the verdict against the champion that the bucket has now, by the thresholds of the earlier one.

    TensorFlow is imported here and nowhere else in export: hardly any run comes this far.

    Raises:
      GateError: TensorFlow is not installed here, so this model stands down.
      DataError: the dataset is not the one that was evaluated on, or it or a model is damaged.
    """
    try:
        import tensorflow  # noqa: F401  # contest needs it

        from components import contest
        from components.dataset import Dataset
        from components.evaluation import facts
        from components.gate import Thresholds
    except ImportError:
        raise GateError(f"{moved}; TensorFlow is not installed here, so this model stands down") from None
    dataset = Dataset.open(str(dataset_dir))
    evaluated_on = earlier.facts.get("dataset_fingerprint")
    if dataset.fingerprint != evaluated_on:
        raise DataError(f"dataset {dataset.fingerprint} is not the one evaluated on, {evaluated_on}")
    try:
        thresholds = Thresholds(**earlier.facts["thresholds"])
    except (KeyError, TypeError):
        raise DataError("evaluation.json: thresholds must be min_accuracy, min_digit_recall, …") from None
    return from_facts(facts(contest.hold(dataset, str(model_dir), bucket, thresholds)), "the new evaluation")
