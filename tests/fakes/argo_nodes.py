"""A run as Argo sees it: nodes, of which KFP makes its task rows without asking which are the pipeline's.

For each task there is a driver, a DAG that wraps the executor, the executor, and, as the default install
gives a retry strategy to every template, each of them once more for every attempt. Rows do not say which of
them belong together; nodes do, by their names.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator

from tests.fakes.loopback import Json
from tests.fakes.pipeline_specs import Step

NEVER = "1970-01-01T00:00:00Z"
_PHASES = {"SUCCEEDED": "Succeeded", "FAILED": "Failed", "CANCELED": "Failed"}
_STATES = {"Running": "RUNNING", "Succeeded": "SUCCEEDED", "Failed": "FAILED", "Pending": "PENDING"}
_EXECUTOR, _POD = "retry-system-container-executor", "retry-system-container-impl"


@dataclasses.dataclass
class Task:
    """One container task of a run; `attempts` are the messages of its pods, "" for one that did not fail."""

    step: Step
    state: str = "PENDING"
    attempts: list[str] = dataclasses.field(default_factory=list)
    started_at: str = NEVER


@dataclasses.dataclass
class Node:
    """One of `status.nodes`, as far as anybody reads it."""

    name: str
    kind: str
    template: str
    phase: str
    started_at: str = NEVER
    message: str = ""
    task: Task | None = None  # whose pod it is

    @property
    def display_name(self) -> str:
        stem = self.name.removesuffix(".onExit").removesuffix(".onExit(0)")
        return stem.rpartition(".")[2] + self.name[len(stem) :]

    @property
    def workflow(self) -> str:
        return self.name.partition(".")[0]

    @property
    def node_id(self) -> str:
        return self.name if self.name == self.workflow else f"{self.workflow}-{_hash(self.name)}"

    @property
    def pod_name(self) -> str:
        return f"{self.workflow}-{self.template}-{_hash(self.name)}"


def nodes(workflow: str, tasks: list[Task], run_state: str) -> list[Node]:
    """Returns every node of a run so far, in no order that helps."""
    phase = _PHASES.get(run_state, "Running")
    found = [Node(workflow, "DAG", "entrypoint", phase)]
    found += _twice(f"{workflow}.root-driver", "Pod", "system-dag-driver", "Succeeded")
    found += _twice(f"{workflow}.root", "DAG", "root", phase)
    parents: set[str] = set()
    for task in tasks:
        parent = f"{workflow}.root(0)"
        for group in task.step.groups if task.state != "PENDING" or not task.step.is_exit else ():
            inner = f"{parent}.{group}"
            if inner not in parents:
                parents.add(inner)
                found += _twice(inner, "DAG", f"comp-{group}", phase)
                if not group.endswith(".onExit"):
                    found += _twice(f"{inner}-driver", "Pod", "system-dag-driver", "Succeeded")
            parent = f"{inner}(0)"
        found += _of_task(task, f"{parent}.{task.step.name}")
    return sorted(found, key=lambda node: _hash(node.name))


def _of_task(task: Task, name: str) -> Iterator[Node]:
    if task.state == "PENDING":
        yield Node(name, "Skipped", _EXECUTOR, "Omitted" if task.step.is_exit else "Pending")
        return
    phase, at = _PHASES.get(task.state, "Running"), task.started_at
    yield from _twice(f"{name}-driver", "Pod", "system-container-driver", "Succeeded", at)
    yield from _twice(name, "DAG", _EXECUTOR, phase, at)
    executor = f"{name}(0).executor"
    yield Node(executor, "Retry", _POD, phase, at, "No more retries left" if phase == "Failed" else "")
    for number, message in enumerate(task.attempts):
        outcome = "Failed" if message else phase
        yield Node(f"{executor}({number})", "Pod", _POD, outcome, at, message, task)


def _twice(name: str, kind: str, template: str, phase: str, at: str = NEVER) -> list[Node]:
    """The retry node and its one attempt."""
    return [Node(name, "Retry", template, phase, at), Node(f"{name}(0)", kind, template, phase, at)]


def rows(found: list[Node], run_id: str, *, was_cached: bool) -> list[Json]:
    """The run's `task_details`; one row more where the launcher stored a result in its cache."""
    listed = [_row(node, run_id) for node in found]
    if not was_cached:
        listed.insert(len(listed) // 2, {"run_id": run_id, "task_id": _hash("cache"), "start_time": NEVER})
    return listed


def _row(node: Node, run_id: str) -> Json:
    row = {
        "run_id": run_id,
        "task_id": _hash(f"task {node.name}"),
        "display_name": node.display_name,
        "create_time": node.started_at,
        "start_time": node.started_at,
        "end_time": NEVER,
        "state": _STATES.get(node.phase),
    }
    return {key: value for key, value in row.items() if value}


def manifest(found: list[Node], run_state: str) -> str:
    """What `pipeline_runtime.workflow_manifest` of the v1beta1 API holds."""
    by_id = {node.node_id: _status(node) for node in found}
    status = {"phase": _PHASES.get(run_state, "Running"), "nodes": by_id}
    return json.dumps({"metadata": {"name": found[0].workflow}, "status": status})


def _status(node: Node) -> Json:
    status = {
        "id": node.node_id,
        "name": node.name,
        "displayName": node.display_name,
        "type": node.kind,
        "templateName": node.template,
        "phase": node.phase,
        "startedAt": None if node.started_at == NEVER else node.started_at,
        "message": node.message,
    }
    return {key: value for key, value in status.items() if value}


def _hash(text: str) -> str:
    """Stands for Argo's FNV-1a of a node's name."""
    return str(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16))
