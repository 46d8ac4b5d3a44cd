"""What a target would ignore fails its compile, by name."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from components.errors import UsageError
from pipeline.compile import lint
from pipeline.compile.documents import to_documents
from pipeline.compile.nodes import Placement, SecretKey, VertexNodes
from pipeline.compile.target import Target
from tests.golden.__main__ import IMAGES, documents


def resources(spec: Mapping[str, Any], task: str) -> dict[str, Any]:
    found: dict[str, Any] = spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]["resources"]
    return found


@pytest.mark.parametrize("target", Target)
def test_what_we_compile_is_clean(target: Target) -> None:
    lint.check(target, *documents(target))


def test_one_targets_yaml_is_refused_for_the_other() -> None:
    with pytest.raises(UsageError) as error:
        lint.check(Target.VERTEX, *documents(Target.KFP))
    assert "target vertex would ignore: " in str(error.value)
    assert "exec-train: accelerator nvidia.com/gpu in another target's terms" in str(error.value)
    assert "exec-ingest: a cpu request without a limit" in str(error.value)
    assert "platforms.kubernetes" in str(error.value)
    with pytest.raises(UsageError, match="accelerator NVIDIA_TESLA_T4 in another target's terms"):
        lint.check(Target.KFP, *documents(Target.VERTEX))


def test_a_memory_request_without_a_limit_is_refused_on_vertex() -> None:
    [spec] = copy.deepcopy(documents(Target.VERTEX))
    del resources(spec, "evaluate")["resourceMemoryLimit"]
    with pytest.raises(UsageError, match="exec-evaluate: a memory request without a limit"):
        lint.check(Target.VERTEX, spec)


def put(spec: dict[str, Any], path: str, value: Any) -> None:
    """Puts a value into nested mappings; `path` has their keys, parted by slashes."""
    *parents, last = path.split("/")
    for key in parents:
        spec = spec.setdefault(key, {})
    spec[last] = value


TRAIN = "deploymentSpec/executors/exec-train"
INGEST = "components/comp-run/dag/tasks/ingest"
KUBERNETES = "platforms/kubernetes"
BOTH = [
    (0, f"{TRAIN}/resolver", "exec-train.resolver"),
    (0, f"{TRAIN}/container/lifecycle", "exec-train: container.lifecycle"),
    (0, f"{TRAIN}/container/resources/gpuModel", "exec-train: resources.gpuModel"),
    (0, f"{INGEST}/priority", "task ingest.priority"),
]


@pytest.mark.parametrize(
    ("target", "document", "path", "ignored"),
    [
        *((target, *case) for target in Target for case in BOTH),
        (Target.KFP, 0, f"{TRAIN}/customJob", "exec-train.customJob"),
        (Target.VERTEX, 0, f"{INGEST}/cachingOptions/cacheKey", "task ingest: cachingOptions.cacheKey"),
        (Target.KFP, 1, "platforms/azure", "platforms.azure"),
        (Target.KFP, 1, f"{KUBERNETES}/pipelineConfig", "platforms.kubernetes.pipelineConfig"),
        (Target.KFP, 1, f"{KUBERNETES}/{TRAIN}/priority", "exec-train: platforms.kubernetes.priority"),
        (
            Target.KFP,
            1,
            f"{KUBERNETES}/{TRAIN}/securityContext/privileged",
            "exec-train: platforms.kubernetes.securityContext.privileged",
        ),
    ],
)
def test_what_a_target_does_not_act_on_is_named(
    target: Target, document: int, path: str, ignored: str
) -> None:
    compiled_documents = documents(target)
    put(compiled_documents[document], path, {})
    with pytest.raises(UsageError) as error:
        lint.check(target, *compiled_documents)
    assert str(error.value) == f"target {target} would ignore: {ignored}"


KEY = SecretKey(name="mnist", key="value")
ON_VERTEX = Placement(VertexNodes(accelerator="none"))


@pytest.mark.parametrize(
    "placement",
    [
        dataclasses.replace(ON_VERTEX, webhook_secret=KEY),
        dataclasses.replace(ON_VERTEX, signing_secret=KEY),
    ],
)
def test_the_compile_itself_fails_on_what_the_target_ignores(placement: Placement) -> None:
    with pytest.raises(UsageError, match=r"^target vertex would ignore: platforms\.kubernetes$"):
        to_documents(IMAGES, placement)


@pytest.mark.parametrize(
    ("path", "lacking"),
    [
        ("activeDeadlineSeconds", "exec-train: activeDeadlineSeconds"),
        ("securityContext/runAsNonRoot", "exec-train: securityContext.runAsNonRoot"),
        ("tolerations/0/operator", "exec-train: tolerations.operator for nvidia.com/gpu"),
        ("tolerations/0/effect", "exec-train: tolerations.effect for nvidia.com/gpu"),
    ],
)
def test_a_pod_without_an_end_or_perhaps_of_root_is_refused(path: str, lacking: str) -> None:
    spec, platform = documents(Target.KFP)
    inner: Any = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    *parents, last = path.split("/")
    for key in parents:
        inner = inner[int(key) if isinstance(inner, list) else key]
    del inner[last]
    with pytest.raises(UsageError) as error:
        lint.check(Target.KFP, spec, platform)
    assert str(error.value) == f"target kfp needs: {lacking}"


def test_a_task_that_the_platform_document_does_not_name_is_refused() -> None:
    with pytest.raises(UsageError, match="exec-notify: activeDeadlineSeconds; exec-notify: securityContext"):
        lint.check(Target.KFP, documents(Target.KFP)[0])


def test_a_task_without_an_end_is_refused_on_vertex() -> None:
    [spec] = documents(Target.VERTEX)
    command = spec["deploymentSpec"]["executors"]["exec-train"]["container"]["command"]
    del command[: command.index("-ec") - 1]
    with pytest.raises(UsageError, match=r"^target vertex needs: exec-train: timeout before its command$"):
        lint.check(Target.VERTEX, spec)
