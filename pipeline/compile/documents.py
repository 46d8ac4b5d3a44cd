"""The DAG as YAML for one target: its images, GPU nodes and resources; checked before it is written."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import compiler, dsl, kubernetes
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from components.errors import UsageError
from components.registry.signing import SIGNING_KEY_VARIABLE
from components.revision import IMAGE_VARIABLE
from pipeline import dag
from pipeline.compile import lint
from pipeline.compile.nodes import Nodes, Target
from pipeline.images.references import image_of

Spec = dict[str, Any]
GKE_SPOT = "cloud.google.com/gke-spot"  # GKE's label and taint of spot nodes

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is
WEBHOOK_VARIABLE = "NOTIFY_WEBHOOK"
SIGNING_DIR = "/etc/mnist-pipeline/signing"  # where a cluster mounts the secret with the private key


def to_documents(
    target: Target,
    images: Mapping[str, str],
    nodes: Nodes,
    resources: Mapping[str, dag.Resources] = dag.RESOURCES,
    webhook_secret: tuple[str, str] | None = None,
    signing_secret: tuple[str, str] | None = None,
) -> list[Spec]:
    """Compiles the DAG for `target`.

    Args:
      images: component name to image reference; guests run in their host's.
      nodes: where train runs.
      resources: what each task asks of its node.
      webhook_secret: KFP only; name and key of the Kubernetes secret that becomes notify's WEBHOOK_VARIABLE.
      signing_secret: KFP only; those of the secret that holds the private key which export signs with.

    Returns:
      The pipeline spec; for KFP with a second document where Kubernetes settings are needed.

    Raises:
      UsageError: a setting that the target would ignore.
    """

    def place(task: dsl.PipelineTask) -> None:
        _place(task, target, nodes, resources[task.name])
        if webhook_secret and task.name == dag.NOTIFY_TASK:
            name, key = webhook_secret
            kubernetes.use_secret_as_env(task, secret_name=name, secret_key_to_env={key: WEBHOOK_VARIABLE})
        if signing_secret and task.name in dag.EXPORT_TASKS:
            name, key = signing_secret
            kubernetes.use_secret_as_volume(task, secret_name=name, mount_path=SIGNING_DIR)
            task.set_env_variable(SIGNING_KEY_VARIABLE, f"{SIGNING_DIR}/{key}")

    spec, *platform = compiled_documents(dag.mnist_pipeline(place))
    use_images(spec, images)
    validate(spec, *platform)
    lint.check(target, nodes, spec, *platform)
    return [spec, *platform]


def to_yaml(documents: Sequence[Spec]) -> str:
    """Returns a compiled pipeline as the YAML that both platforms read."""
    return yaml.safe_dump_all(documents, sort_keys=True, width=110, allow_unicode=True)


def local_spec() -> Spec:
    """Returns the DAG for the local runner: no images to pull, no nodes to choose."""
    return compiled_documents(dag.mnist_pipeline())[0]


def _place(task: dsl.PipelineTask, target: Target, nodes: Nodes, resources: dag.Resources) -> None:
    """Asks for the task's resources, in the words that the target reads."""
    task.set_cpu_request(resources.cpu)
    task.set_memory_request(resources.memory)
    task.set_memory_limit(resources.memory)
    if target is Target.VERTEX:
        task.set_cpu_limit(resources.cpu)  # Vertex AI picks the machine type by the limits
    if task.name != dag.GPU_TASK:
        return
    if nodes.accelerator:
        task.set_accelerator_type(nodes.accelerator)
        task.set_accelerator_limit(nodes.count)
    if target is Target.KFP:
        _choose_node(task, nodes)


def _choose_node(task: dsl.PipelineTask, nodes: Nodes) -> None:
    """Adds what Kubernetes needs to know beyond resources."""
    tolerations = list(nodes.tolerations)
    labels = dict(nodes.selector)
    if nodes.accelerator:  # GKE and the GPU operators taint such nodes with the resource's own name
        tolerations.insert(0, {"key": nodes.accelerator, "operator": "Exists", "effect": "NoSchedule"})
    if nodes.spot:
        tolerations.append({"key": GKE_SPOT, "operator": "Equal", "value": "true", "effect": "NoSchedule"})
        labels[GKE_SPOT] = "true"
    for toleration in tolerations:
        kubernetes.add_toleration(task, **toleration)
    for label, value in labels.items():
        kubernetes.add_node_selector(task, label, value)


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
        documents = list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=_LOADER))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
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


def validate(spec: Spec, *platform: Spec) -> None:
    """Checks a compiled pipeline against the protobuf schemas and for references to nothing.

    Raises:
      ValueError: unknown field, or a reference to a task, component or executor that does not exist.
    """
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    executors = set(spec["deploymentSpec"]["executors"])
    for document in platform:
        for name, config in document["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items():
            json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
            _must_exist("platform executor", name, executors)
    components = spec["components"]
    for name, component in {"root": spec["root"], **components}.items():
        if "executorLabel" in component:
            _must_exist(f"{name} executorLabel", component["executorLabel"], executors)
        else:
            _validate_dag(name, component, components)


def _validate_dag(name: str, component: Spec, components: Spec) -> None:
    tasks = component["dag"]["tasks"]
    inputs = component.get("inputDefinitions", {})
    for task_name, task in tasks.items():
        where = f"{name}.{task_name}"
        _must_exist(f"{where} componentRef", task["componentRef"]["name"], components)
        for dependency in task.get("dependentTasks", []):
            _must_exist(f"{where} dependentTasks", dependency, tasks)
        for kind, bindings in task.get("inputs", {}).items():
            for binding in bindings.values():
                _validate_binding(where, kind, binding, tasks, inputs)


def _validate_binding(where: str, kind: str, binding: Spec, tasks: Spec, inputs: Spec) -> None:
    """A task's input comes from another task's output or from its DAG's own input."""
    for producer in (binding.get("taskOutputArtifact"), binding.get("taskOutputParameter")):
        if producer:
            _must_exist(f"{where} producerTask", producer["producerTask"], tasks)
    for field in ("componentInputParameter", "componentInputArtifact"):
        if field in binding:
            _must_exist(f"{where} {field}", binding[field], inputs.get(kind, {}))


def _must_exist(what: str, name: str, known: Any) -> None:
    if name not in known:
        raise ValueError(f"{what} {name!r} does not exist; known: {', '.join(known)}")
