"""One place per fact, held together: faces, cores, checks and the DAG name the same parameters."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from pipeline import dag
from pipeline.compile.documents import local_spec
from pipeline.images.references import COMPONENTS as IMAGES
from pipeline.images.references import GUESTS, component_of, image_of

TASKS = (*IMAGES, *GUESTS)
COMPONENTS = sorted({component_of(task) for task in TASKS})

# How a face's artifacts reach its core as paths.
PATHS = {
    "data": {"data_dir", "dataset_dir"},
    "model": {"model_dir"},
    "curves": {"curves_path"},
    "events": {"events_dir"},
    "report": {"report_path"},
    "evaluation": {"evaluation_dir"},
    "published": {"published_dir"},
    "status": {"state", "run", "error_message"},
    "metrics": set(),
    "confusion": set(),
}


FROM_A_TASK = {"dataset_fingerprint"}  # parameters that another task returns
DOES_NOT_CHANGE_THE_MODEL = {"resident_bytes", "checkpoint_uri"}  # parameters that lookup need not compare
PLACES = {"dataset_dir", "model_dir", "curves_path", "events_dir"}


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


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_face_hands_its_core_exactly_its_parameters(component: str) -> None:
    artifacts = names(face(component)) & set(PATHS)
    values = names(face(component)) - set(PATHS)
    paths = names(core(component)) - values
    assert names(core(component)) >= values
    assert paths <= set().union(*(PATHS[artifact] for artifact in artifacts))
    assert len(paths) == sum(len(PATHS[artifact]) for artifact in artifacts - {"data"}) + (
        "data" in artifacts
    )


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_face_or_core_has_a_default(component: str) -> None:
    for function in (face(component), core(component)):
        for parameter in inspect.signature(function).parameters.values():
            assert parameter.default is inspect.Parameter.empty, f"{function}: {parameter}"


def test_lookup_compares_every_parameter_of_train_that_changes_the_model() -> None:
    compared = names(core("lookup"))
    assert names(core("train")) - PLACES - DOES_NOT_CHANGE_THE_MODEL <= compared


def test_a_guest_lives_in_a_real_image() -> None:
    assert {image_of(task) for task in TASKS} == set(IMAGES)


@pytest.mark.parametrize("component", [name for name in COMPONENTS if name != "lookup"])
def test_a_components_check_takes_its_own_parameters_only(component: str) -> None:
    check = importlib.import_module(f"components.{component}.limits").check
    assert names(check) <= names(core(component))


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
        assert set(passed) - {"status"} == names(face(component_of(task))) - set(PATHS)
        for name in set(passed) - {"status", *FROM_A_TASK}:
            assert passed[name]["componentInputParameter"].removeprefix("pipelinechannel--") == name
    groups = {"exit-handler-1", "condition-2", "condition-3", "condition-4"}
    assert set(dag.RESOURCES) == set(TASKS) == set(tasks) - groups


def test_every_pipeline_parameter_is_used_by_a_component() -> None:
    used = set().union(*(names(face(component)) - set(PATHS) for component in COMPONENTS)) - FROM_A_TASK
    assert set(local_spec()["root"]["inputDefinitions"]["parameters"]) == used
