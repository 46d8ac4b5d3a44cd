"""Reads a compiled pipeline that is to run here, and refuses what only looks like one of ours."""

import contextlib
from collections.abc import Collection
from pathlib import Path

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components.errors import UsageError, one_line
from pipeline import files
from pipeline.compile import documents
from pipeline.compile.documents import Spec
from pipeline.compile.validation import validate
from pipeline.parameters import declared

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEPTH = 100  # of collections in collections; a compiled pipeline has 12


def read(path: Path) -> Spec:
    """Returns the IR in a YAML file that this project has compiled.

    Raises:
      UsageError: it cannot be read, is damaged, is another pipeline's, or has other parameters or tasks than
        this checkout's.
    """
    spec, *platform = _load(path)
    try:
        validate(spec, *platform)
        _check_executors(spec)
    except (json_format.ParseError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: is a damaged pipeline: {type(error).__name__}: {one_line(error)}"
        ) from None
    ours = documents.local_spec()
    name, own_name = spec["pipelineInfo"].get("name"), ours["pipelineInfo"]["name"]
    if name != own_name:
        raise UsageError(f"{path}: is the pipeline {name!r}, and only {own_name!r} runs here")
    _must_be_same(path, "parameters", declared(spec), declared(ours))
    _must_be_same(path, "tasks", documents.images_of(spec), documents.images_of(ours))
    return spec


def _load(path: Path) -> list[Spec]:
    _check_growth(path)
    try:
        return documents.load_documents(path)
    except UsageError:
        raise
    except ValueError as error:  # a number or a date that YAML's grammar allows, and nothing else
        raise UsageError(f"{path}: is not YAML: {one_line(error)}") from None


def _check_growth(path: Path) -> None:
    """Refuses what reading would make large: libyaml ends the process over deep nesting, aliases multiply."""
    depth = 0
    text = files.read_text(path, most=documents.MAX_BYTES)
    with contextlib.suppress(yaml.YAMLError):  # whoever loads it says what it is
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEPTH or isinstance(event, yaml.AliasEvent):
                what = "uses aliases" if depth <= _DEPTH else "is nested too deeply"
                raise UsageError(f"{path}: is not a compiled pipeline: it {what}")


def _check_executors(spec: Spec) -> None:
    """Checks what the schema leaves open: IR holds the deployment as a struct of anything."""
    deployment = pipeline_spec_pb2.PipelineDeploymentConfig()
    json_format.ParseDict(spec["deploymentSpec"], deployment)
    for label, executor in deployment.executors.items():
        if not (executor.container.image and executor.container.command):
            raise ValueError(f"{label} has no container with an image and a command")
    for name, value in declared(spec).items():
        if "parameterType" not in value:
            raise ValueError(f"parameter {name} has no type")


def _must_be_same(path: Path, what: str, found: Collection[str], ours: Collection[str]) -> None:
    missing, unknown = sorted(set(ours) - set(found)), sorted(set(found) - set(ours))
    if missing or unknown:
        differ = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(unknown)}"] * bool(
            unknown
        )
        raise UsageError(
            f"{path}: was compiled from other code: its {what} are {' and '.join(differ)}; compile it anew"
        )
