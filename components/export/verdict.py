"""evaluate's verdict, read again before anything is published."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import json_objects
from components.errors import DataError, GateError
from components.json_objects import JsonObject

EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True)
class Verdict:
    """What export needs of an evaluation.

    Attributes:
      model_sha256: tree hash of the model that was scored.
      pointer_generation: the champion pointer's when it was; 0 if there was none.
      champion: version that it was compared with, or None.
      facts: the whole evaluation.
    """

    blessed: bool
    reason: str
    model_sha256: str
    pointer_generation: int
    champion: str | None
    facts: dict[str, Any]


def read(evaluation_dir: str | Path) -> Verdict:
    """Reads evaluation.json; raises DataError if it is missing or not what evaluate writes."""
    path = Path(evaluation_dir) / EVALUATION_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return from_facts(json_objects.parse(data, str(path)))


def from_facts(facts: JsonObject) -> Verdict:
    """Returns the verdict in what evaluation.json holds."""
    has_champion = facts.values.get("champion") is not None
    return Verdict(
        blessed=facts.flag("blessed"),
        reason=facts.text("reason"),
        model_sha256=facts.text("model_sha256"),
        pointer_generation=facts.integer("pointer_generation"),
        champion=facts.nested("champion").text("version") if has_champion else None,
        facts=facts.values,
    )


def require_blessed(verdict: Verdict, model_sha256: str) -> None:
    """Raises GateError unless this very model was scored and the gate was open."""
    if not verdict.blessed:
        raise GateError(f"the gate is closed: {verdict.reason}")
    if verdict.model_sha256 != model_sha256:
        raise GateError(
            f"model_sha256={verdict.model_sha256[:80]!r} was evaluated, but the model given is "
            f"{model_sha256}: evaluate this one"
        )
