"""What both platforms check in a pipeline spec and its parameter values before they accept a run."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.fakes.loopback import Json, RefusedError

_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "BOOLEAN": (bool,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "LIST": (list,),
    "STRUCT": (dict,),
}


@dataclasses.dataclass(frozen=True)
class Step:
    """A container task: its name, the groups that it is in, and whether it runs in any case, at the end."""

    name: str
    groups: tuple[str, ...]
    is_exit: bool


def check_spec(spec: Json) -> None:
    """Refuses a spec that is no PipelineSpec: an unknown field, a wrong type, a missing root."""
    try:
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        raise RefusedError(400, f"invalid pipeline spec: {error}") from None
    for key in ("pipelineInfo", "root", "schemaVersion"):
        if key not in spec:
            raise RefusedError(400, f"invalid pipeline spec: {key} is missing")


def check_parameters(spec: Json, values: Json) -> None:
    """Refuses an unknown name, a missing value or a value of another type than the spec declares."""
    declared: Json = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    unknown = sorted(set(values) - set(declared))
    if unknown:
        raise RefusedError(400, f"parameters not found in the pipeline: {', '.join(unknown)}")
    for name, definition in declared.items():
        if name not in values:
            if "defaultValue" not in definition and not definition.get("isOptional"):
                raise RefusedError(400, f"parameter {name} is required")
            continue
        _check_type(name, values[name], definition["parameterType"])


def _check_type(name: str, value: Any, kind: str) -> None:
    right = isinstance(value, _TYPES[kind]) and (kind == "BOOLEAN" or not isinstance(value, bool))
    if not right or (kind == "NUMBER_INTEGER" and value != int(value)):
        raise RefusedError(
            400, f"parameter {name} requires type {kind}, but the parameter value is {value!r}"
        )


def steps(spec: Json) -> list[Step]:
    """Returns the pipeline's container tasks in an order in which they can run, exit tasks last."""
    found = list(_walk(spec, spec["root"], ()))
    return sorted(found, key=lambda step: step.is_exit)


def _walk(spec: Json, component: Json, groups: tuple[str, ...]) -> Iterator[Step]:
    tasks = component["dag"]["tasks"]
    for name in _in_order(tasks):
        inner = spec["components"][tasks[name]["componentRef"]["name"]]
        policy = tasks[name].get("triggerPolicy", {})
        if "dag" in inner:
            yield from _walk(spec, inner, (*groups, name))
        elif policy.get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED":
            [after] = tasks[name]["dependentTasks"]
            yield Step(name, (*groups, f"{after}.onExit"), is_exit=True)
        else:
            yield Step(name, groups, is_exit=False)


def _in_order(tasks: Json) -> Iterator[str]:
    """Yields each task after those that it depends on; among equals by name, for a Struct keeps no order."""
    left = set(tasks)
    while left:
        ready = sorted(name for name in left if not left & set(tasks[name].get("dependentTasks", [])))
        yield from ready
        left -= set(ready)


def accelerator_types(spec: Json) -> list[str]:
    """Returns the accelerator type of every executor that asks for one."""
    executors = spec.get("deploymentSpec", {}).get("executors", {}).values()
    accelerators = [e.get("container", {}).get("resources", {}).get("accelerator", {}) for e in executors]
    return [a.get("resourceType") or a.get("type") for a in accelerators if a]
