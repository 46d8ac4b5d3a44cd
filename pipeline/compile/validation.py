"""Whether a compiled pipeline is one: its fields are in the schemas, its references name what exists."""

from typing import Any

from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

Spec = dict[str, Any]


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
