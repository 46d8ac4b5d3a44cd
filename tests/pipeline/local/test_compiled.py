"""A YAML that is not, or not quite, one of this project's pipelines is refused in one line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from components.errors import UsageError
from pipeline.images.references import CHECKOUT
from pipeline.local import compiled
from tests.golden.__main__ import GOLDEN_DIR

Spec = dict[str, Any]


def written(directory: Path, *documents: Spec) -> Path:
    path = directory / "pipeline.yaml"
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return path


@pytest.fixture
def documents() -> list[Spec]:
    with (GOLDEN_DIR / "kfp.yaml").open(encoding="utf-8") as file:
        return list(yaml.safe_load_all(file))


@pytest.mark.parametrize("target", ["kfp", "vertex"])
def test_what_this_project_compiles_is_read(target: str) -> None:
    path = GOLDEN_DIR / f"{target}.yaml"
    assert compiled.read(path)["pipelineInfo"]["name"] == "mnist-pipeline"


def test_another_pipeline_is_named(tmp_path: Path) -> None:
    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def say(word: str) -> str:
        return word

    @dsl.pipeline(name="somebody-elses")
    def other(word: str = "hello") -> None:
        say(word=word)

    path = tmp_path / "other.yaml"
    compiler.Compiler().compile(other, str(path))
    with pytest.raises(
        UsageError, match=f"^{path}: is the pipeline 'somebody-elses', and only 'mnist-pipeline' runs"
    ):
        compiled.read(path)


def test_what_other_code_has_compiled_is_named_with_what_differs(
    tmp_path: Path, documents: list[Spec]
) -> None:
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    parameters["momentum"] = dict(parameters["learning_rate"])
    with pytest.raises(UsageError, match=r"its parameters are with momentum; compile it anew"):
        compiled.read(written(tmp_path, *documents))


def no_executors(spec: Spec) -> None:
    del spec["deploymentSpec"]


def executors_without_an_image(spec: Spec) -> None:
    del spec["deploymentSpec"]["executors"]["exec-train"]["container"]["image"]


def an_executor_of_text(spec: Spec) -> None:
    spec["deploymentSpec"]["executors"]["exec-train"] = "text"


def no_components(spec: Spec) -> None:
    del spec["components"]


def a_task_of_no_component(spec: Spec) -> None:
    del spec["components"]["comp-train"]


def no_root(spec: Spec) -> None:
    del spec["root"]


def no_parameters(spec: Spec) -> None:
    del spec["root"]["inputDefinitions"]


def an_untyped_parameter(spec: Spec) -> None:
    spec["root"]["inputDefinitions"]["parameters"]["seed"] = {}


def a_name_of_no_kind(spec: Spec) -> None:
    spec["pipelineInfo"] = "mnist-pipeline"


def an_unknown_field(spec: Spec) -> None:
    spec["surprise"] = 1


def tasks_in_a_list(spec: Spec) -> None:
    spec["root"]["dag"]["tasks"] = [1]


DAMAGES = [
    no_executors,
    executors_without_an_image,
    an_executor_of_text,
    no_components,
    a_task_of_no_component,
    no_root,
    no_parameters,
    an_untyped_parameter,
    a_name_of_no_kind,
    an_unknown_field,
    tasks_in_a_list,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_pipeline_is_one_line(
    tmp_path: Path, documents: list[Spec], damage: Callable[[Spec], None]
) -> None:
    damage(documents[0])
    path = written(tmp_path, *documents)
    with pytest.raises(UsageError) as error:
        compiled.read(path)
    assert str(error.value).startswith(f"{path}: is a damaged pipeline: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"a: &a [1]\nb: *a",
        b"",
        b"[]",
        b"\xff\xfe",
        b"a: [",
        b"[" * 100_000,
        b"a: 2026-99-99",
        b"a: " + b"9" * 5_000,
        b"pipelineInfo: {}",
    ],
    ids=["aliases", "empty", "a list", "no text", "open", "deep", "no date", "no number", "nothing in it"],
)
def test_what_is_no_pipeline_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        compiled.read(path)
    assert str(error.value).startswith(f"{path}: is ")
    assert "\n" not in str(error.value)


def test_every_truncation_of_a_pipeline_is_one_line(tmp_path: Path) -> None:
    """As a broken download leaves it; YAML is often still YAML."""
    content = (GOLDEN_DIR / "kfp.yaml").read_bytes()
    path = tmp_path / "pipeline.yaml"
    for part in range(1, 20):
        path.write_bytes(content[: len(content) * part // 20])
        with pytest.raises(UsageError):
            compiled.read(path)


def test_the_command_refuses_it_before_anything_runs(tmp_path: Path, documents: list[Spec]) -> None:
    no_root(documents[0])
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "--from-yaml", str(written(tmp_path, *documents))],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
