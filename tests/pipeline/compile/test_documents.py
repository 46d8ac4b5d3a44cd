import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format

from components.errors import UsageError
from pipeline import dag
from pipeline.compile.documents import load_documents, to_documents, validate
from pipeline.compile.nodes import Target, nodes_for
from pipeline.images.references import image_of
from tests.golden.__main__ import GOLDEN_DIR, IMAGES, compiled

TRAIN = ("components", "comp-condition-2", "dag", "tasks", "train")
EVALUATE = (*TRAIN[:-1], "evaluate")


def documents(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def without_sdk_version(text: str) -> str:
    return re.sub(r"(?m)^sdkVersion: .*$", "", text)


@pytest.mark.parametrize("target", Target)
def test_compiles_to_the_golden_file(target: Target) -> None:
    golden = (GOLDEN_DIR / f"{target}.yaml").read_text(encoding="utf-8")
    assert without_sdk_version(compiled(target)) == without_sdk_version(golden), (
        "make golden, and read the diff"
    )


def every_task(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tasks of the pipeline and of every group in it."""
    groups = [spec["root"], *spec["components"].values()]
    return {name: task for group in groups for name, task in group.get("dag", {}).get("tasks", {}).items()}


def containers(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    executors = spec["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): executor["container"] for name, executor in executors.items()}


@pytest.mark.parametrize("target", Target)
def test_every_task_has_its_image_its_requests_and_retries_with_backoff(target: Target) -> None:
    spec = documents(compiled(target))[0]
    for name, container in containers(spec).items():
        assert container["image"] == IMAGES[image_of(name)]
        assert container["resources"]["resourceCpuRequest"] == dag.RESOURCES[name].cpu
        assert container["resources"]["resourceMemoryRequest"] == dag.RESOURCES[name].memory
    tasks = every_task(spec)
    for name in containers(spec):
        policy = tasks[name]["retryPolicy"]
        assert policy["maxRetryCount"] == dag.RETRIES
        assert policy["backoffDuration"] == "30s"
        assert bool(tasks[name]["cachingOptions"].get("enableCache")) is (name == "ingest")


def test_export_learns_which_image_trained_the_model() -> None:
    for target in Target:
        environments = {n: c.get("env") for n, c in containers(documents(compiled(target))[0]).items()}
        exporters = ("export", "export-2")
        for name in exporters:
            assert environments[name] == [{"name": "PIPELINE_TRAIN_IMAGE", "value": IMAGES["train"]}]
        assert not any(value for name, value in environments.items() if name not in exporters)


def test_train_goes_on_gpu_nodes_in_kubernetes_terms() -> None:
    spec, platform = documents(compiled(Target.KFP))
    assert containers(spec)["train"]["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors == {
        "exec-train": {
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        }
    }


def test_train_goes_on_gpu_nodes_in_vertex_terms_in_a_single_document() -> None:
    (spec,) = documents(compiled(Target.VERTEX))
    accelerator = containers(spec)["train"]["resources"]["accelerator"]
    assert accelerator["resourceType"] == "NVIDIA_TESLA_T4"
    assert accelerator["resourceCount"] == "1"
    assert containers(spec)["train"]["resources"]["resourceCpuLimit"] == dag.RESOURCES["train"].cpu


def test_only_train_asks_for_an_accelerator() -> None:
    for target in Target:
        asking = [
            n
            for n, c in containers(documents(compiled(target))[0]).items()
            if "accelerator" in c["resources"]
        ]
        assert asking == ["train"]


@pytest.mark.parametrize("target", Target)
def test_none_means_a_cpu_node(target: Target) -> None:
    (spec,) = to_documents(target, IMAGES, nodes_for(target, "none"))
    assert "accelerator" not in containers(spec)["train"]["resources"]


def test_type_count_and_node_selector_are_the_callers() -> None:
    nodes = nodes_for(Target.KFP, "amd.com/gpu", 4, {"pool": "gpus"})
    spec, platform = to_documents(Target.KFP, IMAGES, nodes)
    assert containers(spec)["train"]["resources"]["accelerator"]["resourceCount"] == "4"
    train = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    assert train["nodeSelector"] == {"labels": {"pool": "gpus"}}


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (Target.KFP, ("NVIDIA_TESLA_T4",), "target kfp wants one like nvidia.com/gpu, or none"),
        (Target.VERTEX, ("nvidia.com/gpu",), "target vertex wants one like NVIDIA_TESLA_T4, or none"),
        (Target.KFP, ("", 0), "--accelerator-count=0: must be a whole number from 1 to 16"),
        (Target.VERTEX, ("", 1, {"pool": "gpus"}), "--node-selector"),
    ],
)
def test_an_accelerator_in_another_targets_terms_is_refused(
    target: Target, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        nodes_for(target, *arguments)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*TRAIN, "dependentTasks"), ["nobody"], "dependentTasks 'nobody'"),
        (
            (*TRAIN, "componentRef", "name"),
            "comp-nobody",
            "componentRef 'comp-nobody'",
        ),
        (("components", "comp-train", "executorLabel"), "exec-nobody", "executorLabel 'exec-nobody'"),
        (
            (*TRAIN, "inputs", "parameters", "seed"),
            {"componentInputParameter": "nobody"},
            "componentInputParameter 'nobody'",
        ),
        (
            (*EVALUATE, "inputs", "artifacts", "model", "taskOutputArtifact", "producerTask"),
            "nobody",
            "producerTask 'nobody'",
        ),
    ],
)
def test_a_reference_to_nothing_is_found(path: tuple[str, ...], value: Any, message: str) -> None:
    spec = copy.deepcopy(documents(compiled(Target.VERTEX))[0])
    *parents, last = path
    inner = spec
    for key in parents:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(ValueError, match=message):
        validate(spec)


def test_a_field_that_the_schema_does_not_have_is_found() -> None:
    spec = documents(compiled(Target.VERTEX))[0] | {"surprise": 1}
    with pytest.raises(json_format.ParseError, match="surprise"):
        validate(spec)


@pytest.mark.parametrize("content", ["{", "just: yaml", "", "- 1"])
def test_what_is_not_a_compiled_pipeline_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"pipeline\.yaml: is not") as error:
        load_documents(path)
    assert "\n" not in str(error.value)
