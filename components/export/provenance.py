"""Where a published model came from: what its manifest keeps for whoever asks later."""

import os
from pathlib import Path
from typing import Any

from components import revision
from components.export.verdict import Verdict
from components.model.contract import PROVENANCE
from components.model.serving import read_provenance

_METRICS = ("accuracy", "loss", "rows", "recall")


def provenance(model_dir: str | Path, verdict: Verdict) -> dict[str, Any]:
    """Returns git_revision, image, dataset_fingerprint, parameters, metrics, parent; None where unknown."""
    has_parameters = (Path(model_dir) / PROVENANCE).is_file()
    return {
        "git_revision": revision.current(),
        "image": os.environ.get(revision.IMAGE_VARIABLE),
        "dataset_fingerprint": verdict.facts.get("dataset_fingerprint"),
        "parameters": read_provenance(str(model_dir)) if has_parameters else {},
        "data": verdict.facts.get("data"),
        "metrics": {name: verdict.facts[name] for name in _METRICS if name in verdict.facts},
        "parent": verdict.champion,
    }
