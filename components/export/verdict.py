"""evaluate's verdict, read again before anything is published."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import DataError, GateError
from components.registry.manifest import decode_json

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
        facts = decode_json(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return from_facts(facts, str(path))


def from_facts(facts: dict[str, Any], path: str) -> Verdict:
    """Returns the verdict in what evaluation.json holds; `path` is what a DataError calls it."""
    champion = _field(facts, "champion", (dict, type(None)), path)
    return Verdict(
        blessed=_field(facts, "blessed", (bool,), path),
        reason=_field(facts, "reason", (str,), path),
        model_sha256=_field(facts, "model_sha256", (str,), path),
        pointer_generation=_field(facts, "pointer_generation", (int,), path),
        champion=_field(champion, "version", (str,), path) if champion else None,
        facts=facts,
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


def _field(facts: dict[str, Any], name: str, kinds: tuple[type, ...], path: str) -> Any:
    value = facts.get(name)
    if type(value) not in kinds:
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise DataError(f"{path}: {name}={str(value)[:80]!r} must be {expected}")
    return value
