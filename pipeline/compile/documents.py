"""The DAG as YAML for one target: its images, GPU nodes and resources; checked before it is written."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from components.errors import UsageError
from components.revision import IMAGE_VARIABLE
from pipeline import dag, files
from pipeline.compile import lint
from pipeline.compile.nodes import Placement
from pipeline.compile.placing import limit_time, placing
from pipeline.compile.target import Target
from pipeline.compile.validation import validate
from pipeline.images.references import image_of

Spec = dict[str, Any]

MAX_BYTES = 16 << 20  # of a compiled pipeline; ours has 50 KB
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is


def to_documents(images: Mapping[str, str], placement: Placement) -> list[Spec]:
    """Compiles the DAG for the target that its nodes are of.

    Args:
      images: component name to image reference; guests run in their host's.
      placement: where the tasks run, and what they are given there.

    Returns:
      The pipeline spec; for KFP with a second document of Kubernetes settings.

    Raises:
      UsageError: a setting that the target would ignore.
    """
    target = placement.nodes.target
    spec, *platform = compiled_documents(dag.mnist_pipeline(placing(placement)))
    use_images(spec, images)
    if target is Target.VERTEX:
        limit_time(spec, placement)
    validate(spec, *platform)
    lint.check(target, spec, *platform, may_be_root=not placement.run_as_non_root)
    return [spec, *platform]


def to_yaml(documents: Sequence[Spec]) -> str:
    """Returns a compiled pipeline as the YAML that both platforms read."""
    return yaml.safe_dump_all(documents, sort_keys=True, width=110, allow_unicode=True)


def local_spec() -> Spec:
    """Returns the DAG for the local runner: no images to pull, no nodes to choose."""
    return compiled_documents(dag.mnist_pipeline())[0]


def compiled_documents(pipeline: Any) -> list[Spec]:
    """Compiles a KFP pipeline and returns its YAML documents: the pipeline spec, then platform settings."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return load_documents(path)


def load_documents(path: Path) -> list[Spec]:
    """Reads a compiled pipeline.

    Raises:
      UsageError: not a file, not YAML, or not a compiled pipeline.
    """
    try:
        documents = list(yaml.load_all(files.read_text(path, most=MAX_BYTES), Loader=_LOADER))
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not documents or not isinstance(documents[0], dict) or "pipelineInfo" not in documents[0]:
        raise UsageError(f"{path}: is not a compiled pipeline; `python -m pipeline compile` writes one")
    return documents


def use_images(spec: Spec, images: Mapping[str, str]) -> None:
    """Gives each component the image that the caller chose, in place, and tells export which one trains."""
    for component, executor in _containers(spec):
        executor["image"] = images[image_of(component)]
        if component in dag.EXPORT_TASKS:
            own = [each for each in executor.get("env", []) if each["name"] != IMAGE_VARIABLE]
            executor["env"] = [*own, {"name": IMAGE_VARIABLE, "value": images["train"]}]


def images_of(spec: Spec) -> dict[str, str]:
    """Returns the image that a compiled pipeline names for each of its components."""
    return {component: executor["image"] for component, executor in _containers(spec)}


def _containers(spec: Spec) -> Iterator[tuple[str, dict[str, Any]]]:
    for label, executor in spec["deploymentSpec"]["executors"].items():
        yield label.removeprefix("exec-"), executor["container"]
