"""What evaluate found out, as evaluation.json and the report show it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from components.judging import gate
from components.judging.scores import Scores


@dataclasses.dataclass(frozen=True)
class Rival:
    """The champion that the challenger was compared with.

    Attributes:
      version: of the champion in its bucket.
      match: challenger against champion, row by row, digit by digit, slice by slice.
    """

    version: str
    match: gate.Match

    @property
    def scores(self) -> Scores:
        """The champion's."""
        return self.match.champion

    @property
    def comparison(self) -> gate.Comparison:
        """Over all rows."""
        return self.match.comparison


@dataclasses.dataclass(frozen=True)
class SliceScore:
    """The challenger on the test rows of one origin; the champion's accuracy is None where there is none."""

    name: str
    rows: int
    accuracy: float
    champion_accuracy: float | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The verdict on a challenger and everything that led to it.

    Attributes:
      thresholds: the gate's parameters by name.
      blessed: whether export may publish it.
      unchanged: whether it is, byte for byte, the champion already; then there is nothing to publish.
      pointer_generation: of the champion pointer when it was read, 0 where there was none.
      slices: accuracy by where the test rows came from; empty where all came from one place.
      data: what the model learned from, for whoever retrains; see `lineage.data_facts`.
      judged_before: how many published models were judged on these very test rows.
    """

    scores: Scores
    champion: Rival | None
    thresholds: dict[str, float]
    rules: list[gate.Rule]
    blessed: bool
    unchanged: bool
    reason: str
    model_sha256: str
    dataset_fingerprint: str
    validation_overlaps_training: bool
    pointer_generation: int
    slices: list[SliceScore]
    data: dict[str, Any]
    judged_before: int

    def metrics(self) -> dict[str, float]:
        """The figures that KFP and Vertex AI list and compare."""
        figures = {"accuracy": self.scores.accuracy, "loss": self.scores.loss}
        figures |= {f"recall_{digit}": value for digit, value in enumerate(self.scores.recall)}
        figures |= {f"precision_{digit}": value for digit, value in enumerate(self.scores.precision)}
        if self.champion:
            figures["champion_accuracy"] = self.champion.scores.accuracy
            figures["mcnemar_p_value"] = self.champion.comparison.p_value
        return figures


def reason(rules: list[gate.Rule], champion: Rival | None, unchanged: bool) -> str:
    """Returns the verdict in words."""
    if unchanged:
        return "this model is the champion already; nothing to publish"
    failed = [rule.text for rule in rules if not rule.passed]
    if failed:
        return "not blessed: " + "; ".join(failed)
    if champion is None:
        return "blessed: first model in this bucket, no champion to beat"
    return f"blessed: beats the champion's accuracy {champion.scores.accuracy:.4f}"


def facts(evaluation: Evaluation) -> dict[str, Any]:
    """Returns what evaluation.json holds."""
    facts: dict[str, Any] = dataclasses.asdict(evaluation)
    facts |= facts.pop("scores")
    if evaluation.champion:
        match = facts["champion"].pop("match")
        facts["champion"] |= match["champion"] | match["comparison"] | {"parts": match["parts"]}
    return facts


def write(evaluation: Evaluation, evaluation_dir: str) -> None:
    """Writes evaluation.json, which export and the launcher read."""
    directory = Path(evaluation_dir)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "evaluation.json").write_text(
        json.dumps(facts(evaluation), indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
