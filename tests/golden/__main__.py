"""`make golden`: writes the compiled pipelines that test_compile.py compares with."""

import functools
from pathlib import Path
from typing import Any

import yaml

from pipeline.compile.documents import to_documents, to_yaml
from pipeline.compile.nodes import Placement, nodes_for
from pipeline.compile.target import Target
from pipeline.images.references import COMPONENTS

GOLDEN_DIR = Path(__file__).parent
IMAGES = {name: f"registry.example/mnist-pipeline-{name}:golden" for name in COMPONENTS}


@functools.cache
def compiled(target: Target) -> str:
    """Returns the pipeline for `target` with fixed images and the default accelerator."""
    return to_yaml(to_documents(IMAGES, Placement(nodes_for(target))))


def documents(target: Target) -> list[dict[str, Any]]:
    """Returns what `compiled` does, read anew for each caller to change."""
    return list(yaml.load_all(compiled(target), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


if __name__ == "__main__":
    for target in Target:
        (GOLDEN_DIR / f"{target}.yaml").write_text(compiled(target), encoding="utf-8")
