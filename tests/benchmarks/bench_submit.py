"""How long the commands make a person wait: `make bench ARGS="--only submit"`."""

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from pipeline.images.references import CHECKOUT, COMPONENTS, repository
from tests.benchmarks.rounds import Result, interleaved
from tests.benchmarks.rows import Row

COMMANDS = {  # what is typed, and the seconds it may take
    "--help": (["--help"], 0.5),
    "schedule --help": (["schedule", "--help"], 0.5),
    "submit --dry-run (kfp)": (["submit", "--env", "kfp-example", "--dry-run"], 5.0),
    "submit --dry-run (vertex)": (["submit", "--env", "vertex-example", "--dry-run"], 5.0),
}


def run(rounds: int, quick: bool) -> list[Row]:
    """Runs every command in turn; with `quick` only the first."""
    chosen = dict(list(COMMANDS.items())[:1]) if quick else COMMANDS
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "digests.json"
        pinned = {name: f"registry.example/{repository(name)}@sha256:{'a' * 64}" for name in COMPONENTS}
        path.write_text(json.dumps(pinned), encoding="utf-8")
        contestants = {name: partial(seconds, arguments, path) for name, (arguments, _) in chosen.items()}
        results = interleaved(contestants, rounds)
    return [
        Row(
            what=f"python -m pipeline {name}",
            values=[each["seconds"] for each in taken],
            at_most=chosen[name][1],
        )
        for name, taken in results.items()
    ]


def seconds(arguments: list[str], digests_path: Path) -> Result:
    """Runs a command to its end and returns its wall time."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "MNIST_PIPELINE_DIGESTS": str(digests_path)}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], env=environment, check=True, capture_output=True
    )
    return {"seconds": time.perf_counter() - started}
