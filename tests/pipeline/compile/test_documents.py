import re
from pathlib import Path
from typing import Any

import pytest

from components.errors import UsageError
from pipeline import dag
from pipeline.compile.documents import load_documents
from pipeline.compile.nodes import LONGEST_TIME_LIMIT, in_seconds
from pipeline.compile.target import Target
from pipeline.images.references import image_of
from tests.fakes import argo
from tests.golden.__main__ import GOLDEN_DIR, IMAGES, compiled, documents


def without_sdk_version(text: str) -> str:
    return re.sub(r"(?m)^sdkVersion: .*$", "", text)


@pytest.mark.parametrize("target", Target)
def test_compiles_to_the_golden_file(target: Target) -> None:
    golden = (GOLDEN_DIR / f"{target}.yaml").read_text(encoding="utf-8")
    assert without_sdk_version(compiled(target)) == without_sdk_version(golden), (
        "make golden, and read the diff"
    )


def every_task(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tasks of the pipeline and of every group in it."""
    groups = [spec["root"], *spec["components"].values()]
    return {name: task for group in groups for name, task in group.get("dag", {}).get("tasks", {}).items()}


def containers(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    executors = spec["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): executor["container"] for name, executor in executors.items()}


@pytest.mark.parametrize("target", Target)
def test_every_task_has_its_image_and_only_ingest_is_cached(target: Target) -> None:
    spec = documents(target)[0]
    tasks = every_task(spec)
    for name, container in containers(spec).items():
        assert container["image"] == IMAGES[image_of(name)]
        assert bool(tasks[name]["cachingOptions"].get("enableCache")) is (name == "ingest")


@pytest.mark.parametrize("target", Target)
def test_every_attempt_may_take_all_of_the_longest_time_limit(target: Target) -> None:
    limit = in_seconds(LONGEST_TIME_LIMIT)
    spec = documents(target)[0]
    tasks = every_task(spec)
    for name in containers(spec):
        made = list(argo.attempts(tasks[name]["retryPolicy"], limit))
        assert len(made) == 1 + dag.RETRIES
        assert made[1].start == limit + 30  # a pause, so that what failed may recover
        assert all(attempt.may_last is None or attempt.may_last >= limit for attempt in made)


def test_export_learns_which_image_trained_the_model() -> None:
    for target in Target:
        environments = {n: c.get("env") for n, c in containers(documents(target)[0]).items()}
        exporters = ("export", "export-2")
        for name in exporters:
            assert environments[name] == [{"name": "PIPELINE_TRAIN_IMAGE", "value": IMAGES["train"]}]
        assert not any(value for name, value in environments.items() if name not in exporters)


@pytest.mark.parametrize("content", ["{", "just: yaml", "", "- 1"])
def test_what_is_not_a_compiled_pipeline_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"pipeline\.yaml: is not") as error:
        load_documents(path)
    assert "\n" not in str(error.value)
