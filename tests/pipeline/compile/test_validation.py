"""A compiled pipeline with a hole in it is found before it is written."""

import copy
from typing import Any

import pytest
from google.protobuf import json_format

from pipeline.compile.target import Target
from pipeline.compile.validation import validate
from tests.golden.__main__ import documents

TRAIN = ("components", "comp-condition-2", "dag", "tasks", "train")
EVALUATE = (*TRAIN[:-1], "evaluate")


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
    spec = copy.deepcopy(documents(Target.VERTEX)[0])
    *parents, last = path
    inner = spec
    for key in parents:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(ValueError, match=message):
        validate(spec)


def test_a_field_that_the_schema_does_not_have_is_found() -> None:
    spec = documents(Target.VERTEX)[0] | {"surprise": 1}
    with pytest.raises(json_format.ParseError, match="surprise"):
        validate(spec)


def test_kubernetes_settings_for_nobody_or_of_another_schema_are_found() -> None:
    spec, platform = documents(Target.KFP)
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors["exec-nobody"] = {}
    with pytest.raises(ValueError, match="platform executor 'exec-nobody' does not exist"):
        validate(spec, platform)
    del executors["exec-nobody"]
    executors["exec-train"]["surprise"] = 1
    with pytest.raises(json_format.ParseError, match="surprise"):
        validate(spec, platform)
