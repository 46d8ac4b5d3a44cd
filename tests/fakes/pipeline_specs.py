"""What both platforms check in a pipeline spec and its parameter values before they accept a run."""

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


def task_names(spec: Json) -> list[str]:
    """Returns the tasks of the pipeline and of its groups, in one order: a protobuf Struct keeps none."""
    groups = [spec["root"], *spec.get("components", {}).values()]
    return sorted(name for group in groups for name in group.get("dag", {}).get("tasks", {}))


def accelerator_types(spec: Json) -> list[str]:
    """Returns the accelerator type of every executor that asks for one."""
    executors = spec.get("deploymentSpec", {}).get("executors", {}).values()
    accelerators = [e.get("container", {}).get("resources", {}).get("accelerator", {}) for e in executors]
    return [a.get("resourceType") or a.get("type") for a in accelerators if a]
