"""How long a task takes until its core checks its first parameter, against importing the same packages.

A task is started exactly as the KFP local runner starts it, with a parameter that its core refuses at once.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline.images.references import CHECKOUT
from tests.benchmarks.rounds import Result, interleaved
from tests.benchmarks.rows import Row

REFUSED: dict[str, dict[str, Any]] = {
    "ingest": {"dataset": "refused"},
    "train": {"settings": {"epochs": 0}},
    "evaluate": {"min_accuracy": 2.0},
    "export": {"bucket_uri": "refused://"},
}
# What other tasks or the platform give, where the pipeline has no parameter for it.
GIVEN: dict[str, Any] = {"batches_digest": "", "run_id": "start-up"}
# What the component imports before that, beside KFP's executor. evaluate loads TensorFlow when it scores.
PACKAGES: dict[str, list[str]] = {
    "ingest": ["tensorflow_datasets"],
    "train": ["tensorflow", "keras", "jinja2"],
    "evaluate": ["numpy", "jinja2"],
    "export": [],
}


def run(rounds: int, quick: bool) -> list[Row]:
    """Measures every component; with `quick` the one that starts fastest."""
    from pipeline.compile.documents import local_spec

    spec = local_spec()
    rows = []
    for component in ["export"] if quick else list(PACKAGES):
        packages = ["kfp.dsl.executor_main", *PACKAGES[component]]
        bare = [sys.executable, "-c", f"import {', '.join(packages)}"]
        results = interleaved(
            {
                f"{component}: bare imports": functools.partial(_seconds, bare, 0),
                f"{component}: task": functools.partial(_seconds, task_command(spec, component), 2),
            },
            rounds,
        )
        bares, tasks = ([each["seconds"] for each in result] for result in results.values())
        rows.append(
            Row(
                what=f"{component}: start-up of its task",
                values=tasks,
                against=f"import {', '.join(packages)}",
                baseline=bares,
            )
        )
    return rows


def task_command(spec: dict[str, Any], component: str) -> list[str]:
    """Returns the command of a compiled task, with parameters of which one is refused."""
    from tests.benchmarks.parameters import pipeline_parameters

    container = spec["deploymentSpec"]["executors"][f"exec-{component}"]["container"]
    definition = spec["components"][f"comp-{component}"]
    inputs = definition["inputDefinitions"]
    values = {**pipeline_parameters(), **GIVEN, **REFUSED[component]}
    root = f"{tempfile.gettempdir()}/no-such-outputs"
    message = {
        "inputs": {
            "parameterValues": {name: values[name] for name in inputs.get("parameters", {})},
            "artifacts": _artifacts(inputs, root),
        },
        "outputs": {
            "artifacts": _artifacts(definition.get("outputDefinitions", {}), root),
            "outputFile": f"{root}/executor_output.json",
        },
    }
    arguments = [each.replace("{{$}}", json.dumps(message)) for each in container["args"]]
    return [*container["command"], *arguments]


def _artifacts(definitions: dict[str, Any], root: str) -> dict[str, Any]:
    return {
        name: {
            "artifacts": [
                {"name": name, "type": each["artifactType"], "uri": f"{root}/{name}", "metadata": {}}
            ]
        }
        for name, each in definitions.get("artifacts", {}).items()
    }


def _seconds(command: list[str], exit_code: int) -> Result:
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": str(CHECKOUT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TMPDIR": scratch,
            "_KFP_RUNTIME": "true",
        }
        started = time.perf_counter()
        done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - started
    if done.returncode != exit_code:
        raise RuntimeError(
            f"exited with {done.returncode}, expected {exit_code}:\n{done.stdout}{done.stderr}"
        )
    return {"seconds": seconds}
