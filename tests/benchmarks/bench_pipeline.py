"""`python -m pipeline run` against one script that does what the notebook does, process start included."""

import sys
import tempfile
from pathlib import Path

from pipeline.images.references import CHECKOUT
from tests.benchmarks.rounds import Result, interleaved, timed
from tests.benchmarks.rows import Row

PARAMETERS = CHECKOUT / "pipeline" / "parameters"


def run(rounds: int, quick: bool) -> list[Row]:
    """Runs notebook cell 3, 784-64 and 10 epochs, both ways; the pipeline with a fresh bucket each time."""
    epochs = 1 if quick else 10
    parameters = PARAMETERS / ("ci.yaml" if quick else "notebook-sequential-add.yaml")

    def pipeline() -> Result:
        with tempfile.TemporaryDirectory() as cwd:
            command = ["-m", "pipeline", "run", "--parameters", str(parameters), "-p", f"epochs={epochs}"]
            return timed([sys.executable, *command], Path(cwd))()

    def script() -> Result:
        with tempfile.TemporaryDirectory() as cwd:
            command = ["-m", "tests.benchmarks.notebook_script", str(epochs)]
            return timed([sys.executable, *command], Path(cwd))()

    results = interleaved({"notebook-like script": script, "whole pipeline": pipeline}, rounds)
    scripts, pipelines = ([each["seconds"] for each in result] for result in results.values())
    return [
        Row(
            what=f"whole pipeline, sequential_add 784-64, {epochs} epochs",
            values=pipelines,
            against="one notebook-like script",
            baseline=scripts,
            at_most=0.75,
            note="ingest, train, evaluate, export through the KFP local runner",
        )
    ]
