"""Settings that a pipeline's target would accept and ignore: each fails the compile.

A setting without an effect is worse than an error: a run on a CPU node that was meant for a GPU, a task
without the memory it was promised. What each target acts on is listed here; whatever else a compiled pipeline
says, it would ignore.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from components.errors import UsageError
from pipeline.compile.nodes import Target

if TYPE_CHECKING:
    from pipeline.compile.nodes import Nodes

_KUBERNETES_RESOURCE = re.compile(r"[a-z0-9.-]+/[a-z0-9.-]+")
_VERTEX_ACCELERATOR = re.compile(r"NVIDIA_[A-Z0-9_]+|TPU_V\d\w*")
# Each amount twice: as a number, and as the text that may also be a placeholder.
_RESOURCES = """
    accelerator cpuLimit cpuRequest memoryLimit memoryRequest
    resourceCpuLimit resourceCpuRequest resourceMemoryLimit resourceMemoryRequest
"""
_CONTAINER = "args command env image resources"
_TASK = """
    artifactIterator cachingOptions componentRef dependentTasks inputs iteratorPolicy parameterIterator
    retryPolicy taskInfo triggerPolicy
"""
_EXECUTOR = {
    Target.KFP: "container importer",
    Target.VERTEX: "container importer customJob",  # a job on Vertex AI Training
}
_CACHING = {Target.KFP: "cacheKey enableCache", Target.VERTEX: "enableCache"}
# What the backend's driver copies into a task's pod.
_KUBERNETES = """
    activeDeadlineSeconds configMapAsEnv configMapAsVolume emptyDirMounts enabledSharedMemory fieldPathAsEnv
    genericEphemeralVolume imagePullPolicy imagePullSecret nodeAffinity nodeSelector podAffinity podMetadata
    pvcMount secretAsEnv secretAsVolume tolerations
"""


def check(target: Target, nodes: "Nodes", spec: Mapping[str, Any], *platform: Mapping[str, Any]) -> None:
    """Raises UsageError that names every setting which the target would ignore.

    Args:
      target: where the pipeline is meant to run.
      nodes: where its train task is meant to run.
      spec: its IR.
      platform: its platform settings, the second YAML document.
    """
    ignored = [
        *_nodes(target, nodes),
        *_executors(target, spec),
        *_tasks(target, spec),
        *_platforms(target, platform),
    ]
    if ignored:
        raise UsageError(f"target {target} would ignore: {'; '.join(ignored)}")


def _nodes(target: Target, nodes: "Nodes") -> Iterator[str]:
    if target is Target.VERTEX:
        yield from (f"nodes.{name}" for name in ("selector", "tolerations", "spot") if getattr(nodes, name))
    if not nodes.accelerator and nodes.count > 1:
        yield f"nodes.count={nodes.count} without an accelerator"


def _executors(target: Target, spec: Mapping[str, Any]) -> Iterator[str]:
    for label, executor in spec["deploymentSpec"]["executors"].items():
        container = executor.get("container", {})
        resources = container.get("resources", {})
        yield from _beyond(label, executor, _EXECUTOR[target])
        yield from _beyond(f"{label}: container", container, _CONTAINER)
        yield from _beyond(f"{label}: resources", resources, _RESOURCES)
        wanted = resources.get("accelerator", {})
        accelerator = wanted.get("resourceType") or wanted.get("type")
        terms = _KUBERNETES_RESOURCE if target is Target.KFP else _VERTEX_ACCELERATOR
        if accelerator and not terms.fullmatch(accelerator):
            yield f"{label}: accelerator {accelerator} in another target's terms"
        if target is Target.VERTEX:
            for kind in ("Cpu", "Memory"):
                if f"resource{kind}Request" in resources and f"resource{kind}Limit" not in resources:
                    yield f"{label}: a {kind.lower()} request without a limit"


def _tasks(target: Target, spec: Mapping[str, Any]) -> Iterator[str]:
    for component in (spec["root"], *spec["components"].values()):
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            yield from _beyond(f"task {name}", task, _TASK)
            yield from _beyond(
                f"task {name}: cachingOptions", task.get("cachingOptions", {}), _CACHING[target]
            )


def _platforms(target: Target, documents: tuple[Mapping[str, Any], ...]) -> Iterator[str]:
    for document in documents:
        for name, settings in document.get("platforms", {}).items():
            if target is Target.VERTEX or name != "kubernetes":
                yield f"platforms.{name}"
                continue
            yield from _beyond(f"platforms.{name}", settings, "deploymentSpec")
            for label, executor in settings["deploymentSpec"]["executors"].items():
                yield from _beyond(f"{label}: platforms.{name}", executor, _KUBERNETES)


def _beyond(where: str, settings: Mapping[str, Any], known: str) -> Iterator[str]:
    yield from (f"{where}.{name}" for name in sorted(settings.keys() - set(known.split())))
