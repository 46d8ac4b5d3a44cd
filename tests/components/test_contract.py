"""One place per fact, held together: faces, cores, checks and the DAG name the same parameters."""

import importlib
import inspect
import typing
from collections.abc import Callable
from typing import Any  # as faces have it

import pytest

from components.judging.thresholds import Thresholds
from components.parameters import REQUIRED, Parameters
from components.train import settings as train_settings
from pipeline import dag
from pipeline.compile.documents import local_spec
from pipeline.images.references import COMPONENTS as IMAGES
from pipeline.images.references import GUESTS, component_of, image_of
from pipeline.inputs import Kind

TASKS = (*IMAGES, *GUESTS)
COMPONENTS = sorted({component_of(task) for task in TASKS})


def settings(component: str) -> list[Kind]:
    """The parameters that a component declares: every `Parameters` class of its settings module."""
    if component == "evaluate":
        return [Thresholds]
    module = importlib.import_module(f"components.{component}.settings")
    return [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Parameters) and kind.__module__ == module.__name__
    ]


READ_BY_OTHERS = {"bucket_uri", "batches_uri"}  # export's and scan's; others take them too
TAKES_WHOLE = {"train": train_settings.Settings}  # as one dict, from lookup, whose face takes them singly


def face(component: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(
        importlib.import_module(f"components.{component}.component"), component
    ).python_func
    return function


def core(component: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(importlib.import_module(f"components.{component}.core"), component)
    return function


def names(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


def values(component: str) -> dict[str, Any]:
    """What the face takes one by one, name to annotation, artifacts and what tasks return left out."""
    declared = {name for kind in dag.INPUTS for name in kind.names()}
    hints = inspect.signature(face(component)).parameters
    return {name: parameter.annotation for name, parameter in hints.items() if name in declared}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_face_takes_exactly_the_parameters_that_its_component_declares(component: str) -> None:
    kinds = [kind for kind in settings(component) if kind is not TAKES_WHOLE.get(component)]
    if component == "lookup":
        kinds.append(train_settings.Settings)
    expected = {declared.name: declared.kind for kind in kinds for declared in kind.declarations()}
    found = values(component)
    assert set(found) - READ_BY_OTHERS == set(expected) - READ_BY_OTHERS
    for name in expected:
        assert (typing.get_origin(found[name]) or found[name]) == (
            typing.get_origin(expected[name]) or expected[name]
        ), name
        assert typing.get_args(found[name]) == typing.get_args(expected[name]), name


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_face_has_a_default(component: str) -> None:
    for parameter in inspect.signature(face(component)).parameters.values():
        assert parameter.default is inspect.Parameter.empty, parameter


def test_a_guest_lives_in_a_real_image() -> None:
    assert {image_of(task) for task in TASKS} == set(IMAGES)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_face_is_a_call_into_core_and_its_image_is_chosen_at_compile_time(component: str) -> None:
    source = inspect.getsource(face(component))
    assert source.count(f"core.{component}(") == 1
    assert f'base_image="mnist-pipeline/{component}", install_kfp_package=False' in source


def test_the_dag_passes_every_parameter_of_every_component_under_its_own_name() -> None:
    tasks: dict[str, Any] = {}
    spec = local_spec()
    for component in [spec["root"], *spec["components"].values()]:
        tasks |= component.get("dag", {}).get("tasks", {})
    for task in TASKS:
        passed = tasks[task]["inputs"].get("parameters", {})
        own = values(component_of(task))
        assert set(own) <= set(passed)
        for name in own:
            assert passed[name]["componentInputParameter"].removeprefix("pipelinechannel--") == name
    groups = {"exit-handler-1", "condition-2", "condition-3", "condition-4"}
    assert set(dag.RESOURCES) == set(TASKS) == set(tasks) - groups


def test_the_pipelines_inputs_are_the_declared_parameters() -> None:
    inputs = local_spec()["root"]["inputDefinitions"]["parameters"]
    declared = {each.name: each for kind in dag.INPUTS for each in kind.declarations()}
    assert set(inputs) == set(declared) == set().union(*(values(component) for component in COMPONENTS))
    for name, declaration in declared.items():
        assert inputs[name]["description"] == declaration.help
        assert inputs[name].get("defaultValue", REQUIRED) == declaration.default


def test_no_parameter_is_declared_twice() -> None:
    names = [name for kind in dag.INPUTS for name in kind.names()]
    assert len(names) == len(set(names))
