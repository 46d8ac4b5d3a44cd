"""`make golden`: writes the compiled pipelines that test_compile.py compares with."""

from pathlib import Path

from pipeline.compile.documents import to_documents, to_yaml
from pipeline.compile.nodes import Target, nodes_for
from pipeline.images.references import COMPONENTS

GOLDEN_DIR = Path(__file__).parent
IMAGES = {name: f"registry.example/mnist-pipeline-{name}:golden" for name in COMPONENTS}


def compiled(target: Target) -> str:
    """Returns the pipeline for `target` with fixed images and the default accelerator."""
    return to_yaml(to_documents(target, IMAGES, nodes_for(target)))


if __name__ == "__main__":
    for target in Target:
        (GOLDEN_DIR / f"{target}.yaml").write_text(compiled(target), encoding="utf-8")
