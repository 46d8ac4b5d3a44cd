"""What a target would ignore fails its compile, by name."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from components.errors import UsageError
from pipeline import dag
from pipeline.compile import lint
from pipeline.compile.documents import to_documents
from pipeline.compile.nodes import Nodes, Target
from tests.golden.__main__ import IMAGES, compiled

CPU_NODES = Nodes("")


def documents(target: Target) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(compiled(target)))


def resources(spec: Mapping[str, Any], task: str) -> dict[str, Any]:
    found: dict[str, Any] = spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]["resources"]
    return found


@pytest.mark.parametrize("target", Target)
def test_what_we_compile_is_clean(target: Target) -> None:
    lint.check(target, CPU_NODES, *documents(target))


def test_one_targets_yaml_is_refused_for_the_other() -> None:
    with pytest.raises(UsageError) as error:
        lint.check(Target.VERTEX, CPU_NODES, *documents(Target.KFP))
    assert "target vertex would ignore: " in str(error.value)
    assert "exec-train: accelerator nvidia.com/gpu in another target's terms" in str(error.value)
    assert "exec-ingest: a cpu request without a limit" in str(error.value)
    assert "platforms.kubernetes" in str(error.value)
    with pytest.raises(UsageError, match="accelerator NVIDIA_TESLA_T4 in another target's terms"):
        lint.check(Target.KFP, CPU_NODES, *documents(Target.VERTEX))


def test_a_memory_request_without_a_limit_is_refused_on_vertex() -> None:
    [spec] = copy.deepcopy(documents(Target.VERTEX))
    del resources(spec, "evaluate")["resourceMemoryLimit"]
    with pytest.raises(UsageError, match="exec-evaluate: a memory request without a limit"):
        lint.check(Target.VERTEX, CPU_NODES, spec)


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
    ],
)
def test_what_a_target_does_not_act_on_is_named(
    target: Target, document: int, path: str, ignored: str
) -> None:
    compiled_documents = documents(target)
    put(compiled_documents[document], path, {})
    with pytest.raises(UsageError) as error:
        lint.check(target, CPU_NODES, *compiled_documents)
    assert str(error.value) == f"target {target} would ignore: {ignored}"


def test_nodes_that_the_target_cannot_choose_are_refused() -> None:
    nodes = Nodes("NVIDIA_TESLA_T4", selector={"pool": "gpu"}, spot=True)
    with pytest.raises(UsageError, match=r"target vertex would ignore: nodes\.selector; nodes\.spot"):
        to_documents(Target.VERTEX, IMAGES, nodes)
    for target in Target:
        with pytest.raises(UsageError, match=r"would ignore: nodes\.count=2 without an accelerator"):
            to_documents(target, IMAGES, Nodes("", count=2))


def test_the_compile_itself_fails_on_nodes_that_the_target_ignores() -> None:
    with pytest.raises(
        UsageError, match=r"target vertex would ignore: exec-train: accelerator nvidia\.com/gpu"
    ):
        to_documents(Target.VERTEX, IMAGES, Nodes("nvidia.com/gpu"))


def test_selector_tolerations_spot_and_resources_reach_trains_pod_on_kubeflow() -> None:
    nodes = Nodes(
        "nvidia.com/gpu",
        selector={"pool": "gpu"},
        tolerations=[{"key": "team", "operator": "Equal", "value": "ml", "effect": "NoExecute"}],
        spot=True,
    )
    wanted = {**dag.RESOURCES, "train": dag.Resources(cpu="8", memory="32G")}
    spec, platform = to_documents(Target.KFP, IMAGES, nodes, wanted)
    [(label, train)] = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items()
    assert label == "exec-train"
    assert train["nodeSelector"]["labels"] == {"pool": "gpu", "cloud.google.com/gke-spot": "true"}
    assert [t["key"] for t in train["tolerations"]] == ["nvidia.com/gpu", "team", "cloud.google.com/gke-spot"]
    assert resources(spec, "train")["resourceMemoryLimit"] == "32G"


def test_a_webhook_comes_from_a_kubernetes_secret_and_never_stands_in_the_yaml() -> None:
    _, platform = to_documents(Target.KFP, IMAGES, Nodes(""), webhook_secret=("mnist-notify", "url"))
    [secret] = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-notify"][
        "secretAsEnv"
    ]
    assert secret["keyToEnv"] == [{"envVar": "NOTIFY_WEBHOOK", "secretKey": "url"}]
    with pytest.raises(UsageError, match=r"target vertex would ignore: platforms\.kubernetes"):
        to_documents(Target.VERTEX, IMAGES, Nodes(""), webhook_secret=("mnist-notify", "url"))


def test_a_cpu_pool_may_be_chosen_without_an_accelerator() -> None:
    spec, platform = to_documents(Target.KFP, IMAGES, Nodes("", selector={"pool": "cpu"}))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors == {"exec-train": {"nodeSelector": {"labels": {"pool": "cpu"}}}}
    assert "accelerator" not in resources(spec, "train")


def test_the_signing_key_comes_from_a_kubernetes_secret_as_a_file_that_export_is_told_of() -> None:
    spec, platform = to_documents(Target.KFP, IMAGES, Nodes(""), signing_secret=("mnist-signing", "key.pem"))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == {"exec-export", "exec-export-2"}
    for label, export in executors.items():
        [volume] = export["secretAsVolume"]
        assert volume["secretName"] == "mnist-signing"
        variables = spec["deploymentSpec"]["executors"][label]["container"]["env"]
        assert {each["name"]: each["value"] for each in variables} == {
            "MODEL_SIGNING_KEY": f"{volume['mountPath']}/key.pem",
            "PIPELINE_TRAIN_IMAGE": IMAGES["train"],
        }
    with pytest.raises(UsageError, match=r"target vertex would ignore: platforms\.kubernetes"):
        to_documents(Target.VERTEX, IMAGES, Nodes(""), signing_secret=("mnist-signing", "key.pem"))
