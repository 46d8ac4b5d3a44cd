"""The closed loop on this machine: night after night new digits come, are learned from, or are refused.

Every night is a run of its own, as a schedule would start it, with a bucket, a place of batches and a
policy for when to train. The batches are made here, from MNIST's training rows, and marked as synthetic.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from components import revision
from components.batches import formats, store
from components.batches.labelled import Labelled
from components.errors import PipelineError
from components.storage.opening import open_bucket
from pipeline.images.references import CHECKOUT

# Small and quick; the floors leave room for three epochs.
PARAMETERS: dict[str, Any] = {
    "model_style": "functional",
    "epochs": 3,
    "min_accuracy": 0.9,
    "min_digit_recall": 0.8,
    "skip_unchanged": True,
    "min_new_rows": 500,
    "retrain_drift": 0.25,
}
BATCH_ROWS = 2_000
CODE = "demo"  # stands for the commit: code that differs from one never counts as unchanged


@dataclasses.dataclass(frozen=True)
class Night:
    """What one night's run came to.

    Attributes:
      exit_code: of `mnist-pipeline run`: 0, or 4 where the gate stayed closed.
      decision: lookup's words.
      verdict: the gate's words; "" where nothing was trained.
      slices: name to accuracy and the champion's accuracy, None where there was no champion.
    """

    name: str
    exit_code: int
    decision: str
    verdict: str
    slices: dict[str, tuple[float, float | None]]


def inverted(rows: Labelled) -> Labelled:
    """Dark digits on light paper."""
    return Labelled(255 - rows.images, rows.labels)


def shuffled(rows: Labelled) -> Labelled:
    """Moved a little, so that no row is a copy, and labelled at random."""
    labels = np.random.default_rng(0).permutation(rows.labels)
    return Labelled(np.roll(rows.images, 1, axis=2), labels)


def nights(directory: Path, base: Labelled, report: Callable[[Night], None], **changes: Any) -> list[Night]:
    """Plays four nights.

    Args:
      directory: where bucket, batches and runs go; it must be new.
      base: MNIST's training rows, of which the batches are made.
      report: is told of each night when it is over.
      changes: pipeline parameters instead of PARAMETERS'.

    Raises:
      PipelineError: a run ended otherwise than by the gate.
    """
    batches = open_bucket(str(directory / "batches"))
    (directory / "batches").mkdir(parents=True)
    parameters = PARAMETERS | changes
    played = []

    def play(name: str) -> None:
        played.append(_night(directory, name, parameters))
        report(played[-1])

    play("MNIST alone")
    store.add(batches, "inverted", inverted(_part(base, 0)), synthetic=True)
    play("inverted digits came")
    play("nothing new")
    store.add(batches, "shuffled", shuffled(_part(base, 1)), synthetic=True)
    play("shuffled labels came")
    return played


def _part(base: Labelled, number: int) -> Labelled:
    rows = slice(number * BATCH_ROWS, (number + 1) * BATCH_ROWS)
    return Labelled(base.images[rows], base.labels[rows])


def _night(directory: Path, name: str, parameters: dict[str, Any]) -> Night:
    runs = directory / "runs" / name.replace(" ", "-")
    places = {"bucket_uri": str(directory / "bucket"), "batches_uri": str(directory / "batches")}
    assignments = [
        f"-p{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in {**parameters, **places, "checkpoint_uri": ""}.items()
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "--runs-dir", str(runs), *assignments],
        cwd=CHECKOUT,
        env={**os.environ, revision.VARIABLE: CODE},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode not in (0, 4):
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
        raise PipelineError(f"{name}: exit code {done.returncode}: {last}")
    decision = next(line for line in done.stdout.splitlines() if line.strip().startswith("lookup: "))
    found = sorted(runs.rglob("evaluation.json"))
    facts: dict[str, Any] = {"reason": "", "slices": []}
    if found:
        facts = json.loads(found[0].read_text(encoding="utf-8"))
    slices = {row["name"]: (row["accuracy"], row["champion_accuracy"]) for row in facts["slices"]}
    if found and not slices:
        champion = facts["champion"]["accuracy"] if facts["champion"] else None
        slices = {"mnist": (facts["accuracy"], champion)}
    return Night(name, done.returncode, decision.strip().removeprefix("lookup: "), facts["reason"], slices)


def base_rows() -> Labelled:
    """Returns MNIST's training rows, which ship with the project."""
    archives = CHECKOUT / "components" / "ingest" / "bundled" / "mnist"
    return formats.read(sorted(archives.glob("train-*")))
