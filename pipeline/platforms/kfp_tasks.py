"""The pipeline's own tasks, found among the nodes that Argo makes of a run.

KFP's API lists every node as a "task": drivers, groups, the workflow itself, and for each task a DAG, an
executor and a node for every attempt, of which none says to which task it belongs. Argo's own account of the
run, which the v1beta1 API hands on, does: a node's name there is its path,
`WORKFLOW.root(0).GROUP(0).TASK(0).executor(ATTEMPT)`.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence

from pipeline.platforms import answers
from pipeline.platforms.answers import Json
from pipeline.platforms.platform import Task, one_line

_STATES = {"Running": "RUNNING", "Succeeded": "SUCCEEDED", "Skipped": "SKIPPED"}  # Pending, Omitted: PENDING
_STATES |= {"Failed": "FAILED", "Error": "FAILED"}
_TEMPLATE = re.compile(r"system-(?P<kind>container-executor|container-impl|container-driver|dag-driver)$")
_ATTEMPT = r"(\(\d+\))?"
_BELOW_TASK = {  # what the name of a node has below its task's
    "container-executor": re.compile(rf"{_ATTEMPT}$"),
    "container-impl": re.compile(rf"{_ATTEMPT}\.executor{_ATTEMPT}$"),
    "container-driver": re.compile(rf"-driver{_ATTEMPT}$"),
    "dag-driver": re.compile(rf"-driver{_ATTEMPT}$"),
}
_MACHINERY = re.compile(
    r"root|executor|.*-driver|.*\(\d.*\)|.*\.onExit|(exit-handler|condition|condition-branches|for-loop)-\d+"
)
_BY_IMPORTANCE = ("FAILED", "RUNNING", "PENDING", "CANCELED", "SUCCEEDED", "SKIPPED")
_SAYS_NOTHING = ("", "No more retries left")


@dataclasses.dataclass(frozen=True)
class Node:
    """A node that has to do with one task.

    Attributes:
      task_path: the task's own name in Argo's account, the same for all of its nodes.
      kind: the end of the name of its template.
      is_whole: it stands for all attempts, not for one.
      attempt: which one, the task's own retries first, then the executor's.
    """

    task_path: str
    kind: str
    is_whole: bool
    attempt: tuple[int, ...]
    is_pod: bool
    state: str
    started_at: str
    message: str
    pod_name: str


@dataclasses.dataclass(frozen=True)
class Traced:
    """A task, and the pod of its last attempt, "" if there is none."""

    task: Task
    pod_name: str


def from_manifest(manifest: Json) -> list[Traced]:
    """Returns the tasks in Argo's account of a run, in the order in which they started."""
    by_task: dict[str, list[Node]] = {}
    for node in _nodes(manifest):
        if node.kind != "dag-driver":
            by_task.setdefault(node.task_path, []).append(node)
    names = _names(by_task)
    ordered = sorted(by_task.items(), key=lambda item: (_start(item[1]), names[item[0]]))
    return [_traced(names[path], nodes) for path, nodes in ordered]


def trouble(manifest: Json) -> str:
    """Returns what went wrong in a group of tasks rather than in one of them, "" if nothing did."""
    failed = [node for node in _nodes(manifest) if node.kind == "dag-driver" and node.state == "FAILED"]
    return next((f"{_name(node.task_path)}: {_reason([node])}" for node in failed if node.is_pod), "")


def from_rows(rows: Iterable[Json]) -> list[Task]:
    """Returns the tasks in a run's `task_details` as far as names tell; it has no attempts and no reasons."""
    listed = sorted(rows, key=lambda row: answers.moment(row, "start_time") or "9")
    names = {answers.text(row, "display_name") for row in listed}
    states: dict[str, list[str]] = {}
    for row in listed:
        name, state = answers.text(row, "display_name"), answers.text(row, "state")
        # What has run without a driver is no task: the workflow itself, by whatever name.
        has_run = state not in ("", "PENDING", "RUNTIME_STATE_UNSPECIFIED")
        if name and not _MACHINERY.fullmatch(name) and (f"{name}-driver" in names or not has_run):
            states.setdefault(name, []).append(state if has_run else "PENDING")
    return [Task(name, _weightiest(found)) for name, found in states.items()]


def _nodes(manifest: Json) -> Iterator[Node]:
    workflow = answers.text(answers.part(manifest, "metadata"), "name")
    for node in answers.part(answers.part(manifest, "status"), "nodes").values():
        if not isinstance(node, dict):
            continue
        name, template = answers.text(node, "name"), answers.text(node, "templateName")
        kind = _TEMPLATE.search(template)
        if not kind or not (below := _BELOW_TASK[kind["kind"]].search(name)):
            continue
        suffix = answers.text(node, "id").rpartition("-")[2]
        yield Node(
            task_path=name[: below.start()],
            kind=kind["kind"],
            is_whole=not below[0].endswith(")"),
            attempt=tuple(int(number) for number in re.findall(r"\((\d+)\)", below[0])),
            is_pod=answers.text(node, "type") == "Pod",
            state=_STATES.get(answers.text(node, "phase"), "PENDING"),
            started_at=answers.moment(node, "startedAt"),
            message=one_line(answers.text(node, "message")),
            pod_name=f"{workflow}-{template}-{suffix}",
        )


def _traced(name: str, nodes: Sequence[Node]) -> Traced:
    whole = [node.state for node in nodes if node.kind == "container-executor" and node.is_whole]
    state = _weightiest(whole or [node.state for node in nodes])
    pods = sorted(
        (node for node in nodes if node.kind == "container-impl" and node.is_pod),
        key=lambda node: node.attempt,
    )
    drivers = [node for node in nodes if node.kind == "container-driver" and node.state == "FAILED"]
    if drivers and not pods:
        return Traced(Task(name, "FAILED", reason=f"before it started: {_reason(drivers)}"), "")
    reason = _reason(nodes) if state == "FAILED" else ""
    return Traced(Task(name, state, len(pods), reason), pods[-1].pod_name if pods else "")


def _reason(nodes: Sequence[Node]) -> str:
    """Returns what the last pod that failed died of, and what else is said, if it says anything."""
    failed = [node for node in nodes if node.state == "FAILED" and node.message not in _SAYS_NOTHING]
    pods = sorted((node for node in failed if node.is_pod), key=lambda node: node.attempt)
    others = [node.message for node in failed if not node.is_pod]
    said = ([pods[-1].message] if pods else []) + others
    return "; ".join(dict.fromkeys(said))


def _names(task_paths: Iterable[str]) -> dict[str, str]:
    """Returns what each task is called: its name, with its number where a loop has several of that name."""
    paths = list(task_paths)
    called = [_name(path) for path in paths]
    numbers = [re.search(r"\((\d+):", path) for path in paths]
    return {
        path: f"{name}[{number[1] if number else index}]" if called.count(name) > 1 else name
        for index, (path, name, number) in enumerate(zip(paths, called, numbers, strict=True))
    }


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _start(nodes: Sequence[Node]) -> str:
    return min((node.started_at for node in nodes if node.started_at), default="9")


def _weightiest(states: Iterable[str]) -> str:
    """Returns the state that says most of several tasks of one name."""
    found = set(states)
    return next((state for state in _BY_IMPORTANCE if state in found), min(found))
