"""Where a published model came from: what its manifest keeps for whoever asks later."""

import os
import subprocess
from pathlib import Path
from typing import Any

from components.errors import DataError
from components.export.verdict import Verdict
from components.registry_manifest import decode_json

MODEL_FACTS = "assets.extra/model.json"
REVISION_VARIABLE = "PIPELINE_GIT_REVISION"  # the images carry it
IMAGE_VARIABLE = "PIPELINE_IMAGE"
_METRICS = ("accuracy", "loss", "rows", "recall")
_SOURCE_DIR = Path(__file__).parents[2]


def provenance(model_dir: str | Path, verdict: Verdict) -> dict[str, Any]:
    """Returns git_revision, image, dataset_fingerprint, parameters, metrics, parent; None where unknown."""
    return {
        "git_revision": os.environ.get(REVISION_VARIABLE) or _checkout_revision(),
        "image": os.environ.get(IMAGE_VARIABLE),
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


def _checkout_revision() -> str | None:
    """Returns the revision of the checkout that this runs from, if it is one."""
    if not (_SOURCE_DIR / ".git").exists():
        return None
    command = ["git", "-C", str(_SOURCE_DIR), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
