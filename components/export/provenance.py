"""Where a published model came from: what its manifest keeps for whoever asks later."""

import os
from pathlib import Path
from typing import Any

from components import revision
from components.errors import DataError
from components.export.verdict import Verdict
from components.registry.manifest import decode_json

MODEL_FACTS = "assets.extra/model.json"
_METRICS = ("accuracy", "loss", "rows", "recall")


def provenance(model_dir: str | Path, verdict: Verdict) -> dict[str, Any]:
    """Returns git_revision, image, dataset_fingerprint, parameters, metrics, parent; None where unknown."""
    return {
        "git_revision": revision.current(),
        "image": os.environ.get(revision.IMAGE_VARIABLE),
        "dataset_fingerprint": verdict.facts.get("dataset_fingerprint"),
        "parameters": _model_facts(Path(model_dir) / MODEL_FACTS),
        "metrics": {name: verdict.facts[name] for name in _METRICS if name in verdict.facts},
        "parent": verdict.champion,
    }


def _model_facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if path.stat().st_size > 1 << 20:
        raise DataError(f"{path}: larger than 1 MiB")
    return decode_json(path.read_bytes(), str(path))
