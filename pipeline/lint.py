"""Settings of a compiled pipeline that its target would accept and ignore: each fails the compile.

A setting without an effect is worse than an error: a run on a CPU node that was meant for a GPU, a task
without the memory it was promised.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.errors import UsageError
from pipeline.targets import Target

_KUBERNETES_RESOURCE = re.compile(r"[a-z0-9.-]+/[a-z0-9.-]+")
_VERTEX_ACCELERATOR = re.compile(r"NVIDIA_[A-Z0-9_]+|TPU_V\d\w*")


def check(target: Target, spec: Mapping[str, Any], *platform: Mapping[str, Any]) -> None:
    """Raises UsageError that names every setting which the target would ignore.

    Args:
      target: where the pipeline is meant to run.
      spec: its IR.
      platform: its platform settings, the second YAML document.
    """
    ignored = [*_executors(target, spec), *_platforms(target, platform)]
    if ignored:
        raise UsageError(f"target {target} would ignore: {'; '.join(ignored)}")


def _executors(target: Target, spec: Mapping[str, Any]) -> Iterator[str]:
    for label, executor in spec["deploymentSpec"]["executors"].items():
        resources = executor.get("container", {}).get("resources", {})
        wanted = resources.get("accelerator", {})
        accelerator = wanted.get("resourceType") or wanted.get("type")
        terms = _KUBERNETES_RESOURCE if target is Target.KFP else _VERTEX_ACCELERATOR
        if accelerator and not terms.fullmatch(accelerator):
            yield f"{label}: accelerator {accelerator} in another target's terms"
        if target is Target.VERTEX:
            for kind in ("Cpu", "Memory"):
                if f"resource{kind}Request" in resources and f"resource{kind}Limit" not in resources:
                    yield f"{label}: a {kind.lower()} request without a limit"


def _platforms(target: Target, documents: tuple[Mapping[str, Any], ...]) -> Iterator[str]:
    for document in documents:
        for name in document.get("platforms", {}):
            if target is Target.VERTEX or name != "kubernetes":
                yield f"platforms.{name}"
