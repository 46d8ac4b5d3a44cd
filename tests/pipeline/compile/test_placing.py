"""What each task asks for and is given, in the words of its target."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import dag
from pipeline.compile.documents import to_documents
from pipeline.compile.nodes import (
    KfpNodes,
    Nodes,
    Placement,
    Resources,
    SecretKey,
    Toleration,
    VertexNodes,
    in_seconds,
    nodes_for,
)
from pipeline.compile.placing import GKE_SPOT, resources_of
from pipeline.compile.target import Target
from tests.golden.__main__ import IMAGES

CPU: dict[Target, Nodes] = {
    Target.KFP: KfpNodes(accelerator="none"),
    Target.VERTEX: VertexNodes(accelerator="none"),
}


def containers(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    executors = spec["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): executor["container"] for name, executor in executors.items()}


def pods(placement: Placement) -> dict[str, dict[str, Any]]:
    """What Kubernetes is told about each task."""
    _, platform = to_documents(IMAGES, placement)
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): executor for name, executor in executors.items()}


def asked(placement: Placement) -> dict[str, dict[str, Any]]:
    """What each task asks of its node."""
    spec = to_documents(IMAGES, placement)[0]
    return {name: container["resources"] for name, container in containers(spec).items()}


@pytest.mark.parametrize("target", Target)
def test_without_wishes_every_task_asks_for_the_dags_figures(target: Target) -> None:
    for name, resources in asked(Placement(nodes_for(target))).items():
        figures = dag.RESOURCES[name]
        assert resources["resourceCpuRequest"] == figures.cpu
        assert resources["resourceMemoryRequest"] == resources["resourceMemoryLimit"] == figures.memory
        assert resources.get("resourceCpuLimit") == (figures.cpu if target is Target.VERTEX else None)


def test_every_task_may_have_wishes_and_export_2_is_sized_like_evaluate() -> None:
    everywhere = {task: Resources(memory="9G") for task in dag.RESOURCES}
    for resources in asked(Placement(CPU[Target.KFP], everywhere)).values():
        assert resources["resourceMemoryLimit"] == "9G"
    like_evaluate = Placement(CPU[Target.KFP], {"evaluate": Resources(memory="8G", time_limit="2h")})
    assert resources_of("export-2", like_evaluate) == Resources(cpu="1", memory="8G", time_limit="2h")
    own = {"evaluate": Resources(memory="8G", cpu="4"), "export-2": Resources(memory="6G")}
    assert asked(Placement(CPU[Target.KFP], own))["export-2"]["resourceMemoryLimit"] == "6G"
    assert asked(Placement(CPU[Target.KFP], own))["export-2"]["resourceCpuRequest"] == "4"
    assert asked(Placement(CPU[Target.KFP], own))["export"]["resourceMemoryLimit"] == "1G"


def test_a_machine_type_sizes_train_alone() -> None:
    nodes = VertexNodes(accelerator="none", machine_type="n1-standard-4")
    resources = asked(Placement(nodes, {"train": Resources(time_limit="12h")}))
    assert resources["train"]["resourceCpuLimit"] == "4"
    assert resources["train"]["resourceMemoryLimit"] == "15360Mi"
    assert resources["evaluate"]["resourceMemoryLimit"] == dag.RESOURCES["evaluate"].memory


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("count", [1, 4])
def test_only_train_asks_for_accelerators(target: Target, count: int) -> None:
    nodes = nodes_for(target, count=count)
    accelerators = {
        name: (found["resourceType"], found["resourceCount"])
        for name, resources in asked(Placement(nodes)).items()
        if (found := resources.get("accelerator"))
    }
    assert accelerators == {"train": (nodes.accelerator, str(count))}
    assert not any("accelerator" in resources for resources in asked(Placement(CPU[target])).values())


def test_vertex_gets_a_single_document() -> None:
    assert len(to_documents(IMAGES, Placement(nodes_for(Target.VERTEX)))) == 1


def test_no_pod_may_be_root_and_each_has_an_end() -> None:
    placement = Placement(CPU[Target.KFP], {"lookup": Resources(time_limit="90s")})
    found = pods(placement)
    assert set(found) == set(dag.RESOURCES)
    for name, pod in found.items():
        limit = "90s" if name == "lookup" else dag.RESOURCES[name].time_limit
        assert limit is not None
        assert int(pod["activeDeadlineSeconds"]) == in_seconds(limit)
        assert pod["securityContext"] == {"runAsNonRoot": True}


def test_a_backend_that_does_not_know_run_as_non_root_is_not_told() -> None:
    found = pods(Placement(CPU[Target.KFP], run_as_non_root=False))
    assert set(found) == set(dag.RESOURCES)
    assert not any("securityContext" in pod for pod in found.values())


def test_a_toleration_says_all_that_it_is_even_where_that_is_the_default() -> None:
    written = KfpNodes(
        accelerator="nvidia.com/gpu",
        tolerations=(
            Toleration(key="team"),
            Toleration(key="", operator="Exists", effect="NoExecute"),
            Toleration(key="pool", operator="Equal", value="ml", effect="PreferNoSchedule"),
        ),
        spot=True,
    )
    assert pods(Placement(written))["train"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Exists", "effect": "NoSchedule"},
        {"operator": "Exists", "effect": "NoExecute"},
        {"key": "pool", "operator": "Equal", "value": "ml", "effect": "PreferNoSchedule"},
        {"key": GKE_SPOT, "operator": "Equal", "value": "true", "effect": "NoSchedule"},
    ]


def test_train_alone_chooses_its_node() -> None:
    nodes = KfpNodes(accelerator="none", selector={"pool": "cpu"}, spot=True)
    found = pods(Placement(nodes))
    assert found["train"]["nodeSelector"] == {"labels": {"pool": "cpu", GKE_SPOT: "true"}}
    assert [t["key"] for t in found["train"]["tolerations"]] == [GKE_SPOT]
    assert not any({"nodeSelector", "tolerations"} & pod.keys() for n, pod in found.items() if n != "train")


@pytest.mark.parametrize("target", Target)
def test_variables_reach_every_task_beside_its_own(target: Target) -> None:
    variables = {"BUCKET_DEADLINE": "300", "HTTPS_PROXY": "http://proxy.example:3128"}
    spec = to_documents(IMAGES, Placement(CPU[target], variables=variables))[0]
    for name, container in containers(spec).items():
        found = {each["name"]: each["value"] for each in container["env"]}
        own = {"PIPELINE_TRAIN_IMAGE": IMAGES["train"]} if name in dag.EXPORT_TASKS else {}
        assert found == variables | own


def test_a_webhook_comes_from_a_kubernetes_secret_and_never_stands_in_the_yaml() -> None:
    placement = Placement(CPU[Target.KFP], webhook_secret=SecretKey(name="mnist-notify", key="url"))
    found = pods(placement)
    [secret] = found["notify"]["secretAsEnv"]
    assert secret["secretName"] == "mnist-notify"
    assert secret["keyToEnv"] == [{"envVar": "NOTIFY_WEBHOOK", "secretKey": "url"}]
    assert not any("secretAsEnv" in pod for name, pod in found.items() if name != "notify")


def test_the_signing_key_comes_from_a_kubernetes_secret_as_a_file_that_export_is_told_of() -> None:
    placement = Placement(CPU[Target.KFP], signing_secret=SecretKey(name="mnist-signing", key="key.pem"))
    spec, _ = to_documents(IMAGES, placement)
    mounted = {
        name: pod["secretAsVolume"] for name, pod in pods(placement).items() if "secretAsVolume" in pod
    }
    assert set(mounted) == set(dag.EXPORT_TASKS)
    for name, [volume] in mounted.items():
        assert volume["secretName"] == "mnist-signing"
        variables = {each["name"]: each["value"] for each in containers(spec)[name]["env"]}
        assert variables["MODEL_SIGNING_KEY"] == f"{volume['mountPath']}/key.pem"


# Vertex AI ends no task by itself: the compiled command does, and these tests run it.

SAVES_ON_SIGTERM = """
import pathlib, signal, sys, time

def save(*_):
    time.sleep(0.5)
    pathlib.Path(sys.argv[1]).write_text("saved", encoding="utf-8")
    raise SystemExit(75)

signal.signal(signal.SIGTERM, save)
pathlib.Path(sys.argv[2]).touch()
time.sleep(60)
"""
# The shape of what KFP compiles: a shell of several lines, the last of which starts Python.
AS_KFP_STARTS_IT = ["sh", "-ec", 'true\n\n_KFP_RUNTIME=true "$0" -c "$@"\n']


def started(directory: Path, program: str, time_limit: str) -> subprocess.Popen[bytes]:
    """Runs a program as train's compiled command would."""
    placement = Placement(CPU[Target.VERTEX], {"train": Resources(time_limit=time_limit)})
    command = containers(to_documents(IMAGES, placement)[0])["train"]["command"]
    limited = command[: command.index("-ec") - 1]
    words = [sys.executable, program, str(directory / "checkpoint"), str(directory / "ready")]
    return subprocess.Popen([*limited, *AS_KFP_STARTS_IT, *words], start_new_session=True)


@pytest.mark.parametrize(
    ("sent", "exit_code"),
    [
        (signal.SIGTERM, 75),  # from the platform; train's own exit code comes back
        (signal.SIGALRM, 124),  # from its own clock, when the time is over
    ],
)
def test_a_task_is_ended_once_it_has_saved(sent: signal.Signals, exit_code: int, tmp_path: Path) -> None:
    process = started(tmp_path, SAVES_ON_SIGTERM, "1m")
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, sent)
    assert process.wait(timeout=30) == exit_code
    assert (tmp_path / "checkpoint").read_text(encoding="utf-8") == "saved"


def test_a_task_that_takes_too_long_is_killed_if_it_will_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.compile.placing.GRACE", "1s")
    hangs = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"
    assert started(tmp_path, hangs, "1s").wait(timeout=30) in (137, -signal.SIGKILL)
