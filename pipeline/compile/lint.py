"""Settings that a target would accept and ignore, and those that no task may lack: each fails the compile.

A setting without an effect is worse than an error: a run on a CPU node that was meant for a GPU, a task
without the memory it was promised. What each target acts on is listed here; whatever else a compiled pipeline
says, it would ignore.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.errors import UsageError
from pipeline.compile.nodes import TIMEOUT
from pipeline.compile.target import Target

_KUBERNETES_RESOURCE = re.compile(r"[a-z0-9.-]+/[a-z0-9.-]+")
_VERTEX_ACCELERATOR = re.compile(r"NVIDIA_[A-Z0-9_]+|TPU_V\d\w*")
# Each amount twice: as a number, and as the text that may also be a placeholder.
_RESOURCES = frozenset(
    {
        "accelerator",
        "cpuLimit",
        "cpuRequest",
        "memoryLimit",
        "memoryRequest",
        "resourceCpuLimit",
        "resourceCpuRequest",
        "resourceMemoryLimit",
        "resourceMemoryRequest",
    }
)
_CONTAINER = frozenset({"args", "command", "env", "image", "resources"})
_TASK = frozenset(
    {
        "artifactIterator",
        "cachingOptions",
        "componentRef",
        "dependentTasks",
        "inputs",
        "iteratorPolicy",
        "parameterIterator",
        "retryPolicy",
        "taskInfo",
        "triggerPolicy",
    }
)
_EXECUTOR = {
    Target.KFP: frozenset({"container", "importer"}),
    Target.VERTEX: frozenset({"container", "importer", "customJob"}),  # a job on Vertex AI Training
}
_CACHING = {
    Target.KFP: frozenset({"cacheKey", "enableCache"}),
    Target.VERTEX: frozenset({"enableCache"}),
}
_DEPLOYMENT = frozenset({"deploymentSpec"})
# What the backend's driver copies into a task's pod.
_KUBERNETES = frozenset(
    {
        "activeDeadlineSeconds",
        "configMapAsEnv",
        "configMapAsVolume",
        "emptyDirMounts",
        "enabledSharedMemory",
        "fieldPathAsEnv",
        "genericEphemeralVolume",
        "imagePullPolicy",
        "imagePullSecret",
        "nodeAffinity",
        "nodeSelector",
        "podAffinity",
        "podMetadata",
        "pvcMount",
        "secretAsEnv",
        "secretAsVolume",
        "securityContext",
        "tolerations",
    }
)
_SECURITY_CONTEXT = frozenset({"runAsGroup", "runAsNonRoot", "runAsUser"})
_TOLERATION = frozenset({"effect", "key", "operator", "tolerationJson", "tolerationSeconds", "value"})


def check(
    target: Target, spec: Mapping[str, Any], *platform: Mapping[str, Any], may_be_root: bool = False
) -> None:
    """Raises UsageError that names every setting which the target would ignore, or which a task lacks.

    Args:
      target: where the pipeline is meant to run.
      spec: its IR.
      platform: its platform settings, the second YAML document.
      may_be_root: whether the caller does without `runAsNonRoot`.
    """
    ignored = [*_executors(target, spec), *_tasks(target, spec), *_platforms(target, platform)]
    if ignored:
        raise UsageError(f"target {target} would ignore: {'; '.join(ignored)}")
    if lacking := [*_lacking(target, spec, platform, may_be_root)]:
        raise UsageError(f"target {target} needs: {'; '.join(lacking)}")


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
            yield from _beyond(f"platforms.{name}", settings, _DEPLOYMENT)
            for label, pod in settings["deploymentSpec"]["executors"].items():
                yield from _pod(f"{label}: platforms.{name}", pod)


def _pod(where: str, pod: Mapping[str, Any]) -> Iterator[str]:
    yield from _beyond(where, pod, _KUBERNETES)
    yield from _beyond(f"{where}.securityContext", pod.get("securityContext", {}), _SECURITY_CONTEXT)
    for toleration in pod.get("tolerations", []):
        yield from _beyond(f"{where}.tolerations", toleration, _TOLERATION)


def _beyond(where: str, settings: Mapping[str, Any], known: frozenset[str]) -> Iterator[str]:
    yield from (f"{where}.{name}" for name in sorted(settings.keys() - known))


def _lacking(
    target: Target, spec: Mapping[str, Any], documents: tuple[Mapping[str, Any], ...], may_be_root: bool
) -> Iterator[str]:
    pods: dict[str, Any] = {}
    for document in documents:
        pods |= document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for label, executor in spec["deploymentSpec"]["executors"].items():
        if "container" not in executor:
            continue
        if target is Target.VERTEX:
            if executor["container"]["command"][0] != TIMEOUT:
                yield f"{label}: {TIMEOUT} before its command"
        else:
            yield from (f"{label}: {field}" for field in _lacking_in_pod(pods.get(label, {}), may_be_root))


def _lacking_in_pod(pod: Mapping[str, Any], may_be_root: bool) -> Iterator[str]:
    """A pod without an end costs money until somebody looks; `restricted` refuses one that may be root."""
    if not int(pod.get("activeDeadlineSeconds", 0)):
        yield "activeDeadlineSeconds"
    if not (may_be_root or pod.get("securityContext", {}).get("runAsNonRoot")):
        yield "securityContext.runAsNonRoot"
    for toleration in pod.get("tolerations", []):
        for field in ("operator", "effect"):
            if not (toleration.get(field) or "tolerationJson" in toleration):
                yield f"tolerations.{field} for {toleration.get('key')}"
