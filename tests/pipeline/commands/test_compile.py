"""`python -m pipeline compile`: a file for each target, of what was asked for, or one line and no file."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler
from typer.testing import CliRunner, Result

from components.errors import UsageError
from pipeline.cli import app
from tests.pipeline.commands.conftest import DIGESTS


def run(directory: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(app, ["compile", "--output-dir", str(directory), *arguments])
    if result.exception and not isinstance(result.exception, UsageError):
        raise result.exception
    return result


def written(directory: Path, target: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((directory / f"mnist-pipeline-{target}.yaml").read_text(encoding="utf-8")))


def train(spec: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    return container


def test_both_targets_get_a_file_pinned_by_digest(tmp_path: Path) -> None:
    digests = tmp_path / "digests.json"
    digests.write_text(json.dumps(DIGESTS), encoding="utf-8")
    directory = tmp_path / "new" / "compiled"
    said = run(directory, "--digests", str(digests)).output.splitlines()
    assert said == [f"wrote {directory}/mnist-pipeline-{target}.yaml" for target in ("kfp", "vertex")]
    for target, accelerator in (("kfp", "nvidia.com/gpu"), ("vertex", "NVIDIA_TESLA_T4")):
        container = train(written(directory, target)[0])
        assert container["image"] == DIGESTS["train"]
        assert container["resources"]["accelerator"]["resourceType"] == accelerator


def test_target_tag_registry_and_nodes_are_the_callers(tmp_path: Path) -> None:
    images = ["--registry", "registry.example/team", "--tag", "3f2a9c1d5e7b"]
    nodes = ["--accelerator-type", "amd.com/gpu", "--accelerator-count", "2", "--node-selector", "pool=gpus"]
    run(tmp_path, "--target", "kfp", *images, *nodes)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist-pipeline-kfp.yaml"]
    spec, platform = written(tmp_path, "kfp")
    assert train(spec)["image"] == "registry.example/team/mnist-pipeline-train:3f2a9c1d5e7b"
    accelerator = train(spec)["resources"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("amd.com/gpu", "2")
    pod = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    assert pod["nodeSelector"]["labels"] == {"pool": "gpus"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tag", "latest"], "--tag=latest: names another image tomorrow"),
        (["--tag", "a b"], "--tag='a b': must be"),
        (["--tag", "x", "--node-selector", "pool"], "--node-selector='pool': must be LABEL=VALUE"),
        (["--tag", "x", "--target", "vertex", "--node-selector", "a=b"], "--node-selector: target vertex"),
        (["--tag", "x", "--accelerator-count", "17"], "--accelerator-count=17: must be"),
        (["--digests", "none.json"], "--digests=none.json: cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_no_file(tmp_path: Path, arguments: list[str], message: str) -> None:
    error = run(tmp_path / "compiled", *arguments).exception
    assert message in str(error)
    assert "\n" not in str(error)
    assert not (tmp_path / "compiled").exists()


def test_what_the_schema_does_not_know_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a KFP might compile it that is newer than the schema beside it."""
    compile_as_it_is = compiler.Compiler.compile

    def newer(self: Any, pipeline: Any, path: str) -> None:
        compile_as_it_is(self, pipeline, path)
        with Path(path).open(encoding="utf-8") as file:
            spec, *platform = yaml.safe_load_all(file)
        spec["root"]["novelty"] = True
        Path(path).write_text(yaml.safe_dump_all([spec, *platform]), encoding="utf-8")

    monkeypatch.setattr(compiler.Compiler, "compile", newer)
    with pytest.raises(Exception, match='no field named "novelty"'):
        run(tmp_path / "compiled", "--tag", "x")
    assert not (tmp_path / "compiled").exists()
