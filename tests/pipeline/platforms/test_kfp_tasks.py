"""The pipeline's own tasks among Argo's nodes: each once, with its attempts and what it died of."""

import json

import pytest

from pipeline.platforms import kfp_tasks
from pipeline.platforms.platform import Task
from tests.fakes import argo_nodes
from tests.fakes.pipeline_specs import Step

GROUPS = ("exit-handler-1", "condition-2")
KILLED, FAILED = "pod deleted", "Error (exit code 1)"


def task(
    name: str, state: str, *attempts: str, groups: tuple[str, ...] = GROUPS, second: int = 0
) -> argo_nodes.Task:
    started_at = argo_nodes.NEVER if state == "PENDING" else f"2026-01-01T00:00:{second:02}Z"
    is_exit = bool(groups) and groups[-1].endswith(".onExit")
    return argo_nodes.Task(Step(name, groups, is_exit), state, list(attempts), started_at)


RUN = [
    task("ingest", "SUCCEEDED", "", groups=GROUPS[:1], second=1),
    task("train", "FAILED", KILLED, KILLED, FAILED, second=2),
    task("export", "PENDING", groups=(*GROUPS, "condition-3")),
    task("notify", "SUCCEEDED", "", groups=("exit-handler-1.onExit",), second=9),
]


def told(tasks: list[argo_nodes.Task], state: str = "FAILED") -> list[Task]:
    manifest = json.loads(argo_nodes.manifest(argo_nodes.nodes("mnist-pipeline-x7k2p", tasks, state), state))
    return [traced.task for traced in kfp_tasks.from_manifest(manifest)]


def test_each_task_is_there_once_in_the_order_of_starting() -> None:
    assert told(RUN) == [
        Task("ingest", "SUCCEEDED", 1),
        Task("train", "FAILED", 3, FAILED),
        Task("notify", "SUCCEEDED", 1),
        Task("export", "PENDING"),
    ]


def test_a_pod_is_named_as_argo_names_it() -> None:
    nodes = argo_nodes.nodes("mnist-pipeline-x7k2p", RUN, "FAILED")
    [pod] = [node for node in nodes if node.message == FAILED and node.task]
    traced = kfp_tasks.from_manifest(json.loads(argo_nodes.manifest(nodes, "FAILED")))
    assert [each.pod_name for each in traced if each.task.name == "train"] == [pod.pod_name]


def test_rows_alone_give_the_same_names_and_states() -> None:
    rows = argo_nodes.rows(argo_nodes.nodes("mnist-pipeline-x7k2p", RUN, "FAILED"), "1", was_cached=False)
    assert len(rows) > 25
    assert any("display_name" not in row for row in rows)
    found = {task.name: task.state for task in kfp_tasks.from_rows(rows)}
    assert found == {task.name: task.state for task in told(RUN)}


def test_a_task_that_is_being_tried_again_has_not_failed() -> None:
    assert told([task("train", "RUNNING", KILLED, "", second=2)], "RUNNING") == [Task("train", "RUNNING", 2)]


def test_a_loop_has_a_task_for_each_of_its_items() -> None:
    groups = [("for-loop-1", f"iteration({number}:{number})") for number in (0, 1)]
    assert told([task("train", "SUCCEEDED", "", groups=each) for each in groups], "SUCCEEDED") == [
        Task("train[0]", "SUCCEEDED", 1),
        Task("train[1]", "SUCCEEDED", 1),
    ]


def manifest_of(*nodes: dict[str, str]) -> dict[str, object]:
    return {
        "metadata": {"name": "w"},
        "status": {"nodes": {str(index): node for index, node in enumerate(nodes)}},
    }


def node(name: str, template: str, phase: str, message: str = "", kind: str = "Pod") -> dict[str, str]:
    named = {"name": name, "templateName": template, "phase": phase, "message": message, "type": kind}
    return {**named, "id": "w-1"}


def test_a_task_whose_driver_failed_says_so() -> None:
    driver = node("w.root(0).train-driver(0)", "system-container-driver", "Error", "ImagePullBackOff")
    waiting = node("w.root(0).train", "retry-system-container-executor", "Omitted", kind="Skipped")
    [traced] = kfp_tasks.from_manifest(manifest_of(driver, waiting))
    assert traced == kfp_tasks.Traced(
        Task("train", "FAILED", reason="before it started: ImagePullBackOff"), ""
    )


def test_a_group_whose_driver_failed_is_what_the_run_died_of() -> None:
    driver = node("w.root(0).condition-2-driver(0)", "system-dag-driver", "Failed", "Error (exit code 1)")
    assert kfp_tasks.trouble(manifest_of(driver)) == "condition-2: Error (exit code 1)"
    assert kfp_tasks.trouble(manifest_of()) == ""


def test_what_a_retry_node_adds_to_its_last_pod_is_said_too() -> None:
    retry = node(
        "w.root(0).train(0).executor",
        "retry-system-container-impl",
        "Failed",
        "Max duration limit exceeded",
        "Retry",
    )
    pod = node("w.root(0).train(0).executor(0)", "retry-system-container-impl", "Failed", "pod deleted")
    [traced] = kfp_tasks.from_manifest(manifest_of(retry, pod))
    assert traced.task == Task("train", "FAILED", 1, "pod deleted; Max duration limit exceeded")


@pytest.mark.parametrize(
    "nodes", [None, 5, {"a": 5}, {"a": {}}, {"a": {"templateName": "system-dag-driver"}}]
)
def test_an_account_without_nodes_has_no_tasks(nodes: object) -> None:
    assert kfp_tasks.from_manifest({"status": {"nodes": nodes}}) == []
    assert kfp_tasks.from_rows([{}, {"display_name": None}, {"display_name": 5}]) == []
