"""The four styles against plain Keras `fit`, other frameworks, and what this machine's arithmetic can do."""

import importlib.util
import itertools
import statistics
import tempfile
from typing import Any

from components.train.settings import NOTEBOOK_HIDDEN_UNITS
from tests.benchmarks.parameters import pipeline_parameters
from tests.benchmarks.rounds import Result, interleaved, job
from tests.benchmarks.rows import Row, skipped

EPOCHS = 10
MATMUL_SIZE = 3_000
STEADY_EPOCHS = 4  # of which the first compiles
FRAMEWORKS = {"torch": "PyTorch", "jax": "JAX"}
# Times as fast as `fit`, by the sizes of the hidden layers: all epochs with compilation, and steady state.
GOALS: dict[tuple[int, ...], tuple[float, float]] = {(784, 64): (3.0, 3.2), (64, 64): (5.5, 7.0)}


def run(rounds: int, quick: bool) -> list[Row]:
    """Measures one style after the other; within a style the contestants take turns."""
    with tempfile.TemporaryDirectory() as scratch:
        validated, alone = f"{scratch}/validated", f"{scratch}/alone"
        if quick:
            job("synthetic", quick, data_dir=validated, rows=100)()
            return _style("functional", rounds, 2, validated, validated, quick)
        # All 60,000 rows train, as in the notebook; with one row to validate on, an epoch is training alone.
        for data_dir, validation_rows in ((validated, 10_000), (alone, 1)):
            parameters = pipeline_parameters(holdout=False, validation_rows=validation_rows)
            job("ingest", quick, parameters=parameters, data_dir=data_dir)()
        rows = []
        for style in NOTEBOOK_HIDDEN_UNITS:
            rows += _style(style, rounds, EPOCHS, validated, alone, quick)
        return rows


def training_flops(hidden_units: tuple[int, ...], rows: int) -> int:
    """Returns the multiplications and additions in the dense layers of one epoch.

    Forward, gradients of the weights, and, but for the first layer, gradients of the inputs.
    """
    sizes = [784, *hidden_units, 10]
    weights = [inputs * outputs for inputs, outputs in itertools.pairwise(sizes)]
    return 2 * rows * (3 * sum(weights) - weights[0])


def _style(style: str, rounds: int, epochs: int, data: str, steady_data: str, quick: bool) -> list[Row]:
    units = NOTEBOOK_HIDDEN_UNITS[style]
    name = f"{style} {'-'.join(map(str, units))}"
    whole = {"parameters": pipeline_parameters(model_style=style, epochs=epochs), "dataset_dir": data}
    steady: dict[str, Any] = {
        "parameters": pipeline_parameters(model_style=style, epochs=2 if quick else STEADY_EPOCHS),
        "dataset_dir": steady_data,
    }
    contestants = {
        f"{name}: fit, {epochs} epochs": job("fit", quick, **whole),
        f"{name}: ours, {epochs} epochs": job("ours", quick, **whole),
        f"{name}: fit, steady": job("fit", quick, **steady),
        f"{name}: ours, steady": job("ours", quick, **steady),
        f"{name}: matmul": job("matmul", quick, size=100 if quick else MATMUL_SIZE),
    }
    installed = [module for module in FRAMEWORKS if importlib.util.find_spec(module)]
    for module in installed:
        contestants[f"{name}: {module}, steady"] = job(module, quick, hidden_units=list(units), **steady)
    results = list(interleaved(contestants, rounds).values())
    theirs, own, their_steady, own_steady, matmul, *others = results
    compiled, per_epoch = GOALS[units]
    return [
        Row(
            what=f"{name}: {epochs} epochs, compile included",
            values=[result["epochs"][-1] for result in own],
            against="Keras fit",
            baseline=[result["epochs"][-1] for result in theirs],
            is_speed=True,
            at_least=compiled,
            note="60,000 rows, validated on 10,000 after each epoch, both",
        ),
        Row(
            what=f"{name}: the same with the SavedModel",
            values=[result["whole"] for result in own],
            against="Keras fit and export",
            baseline=[result["whole"] for result in theirs],
            is_speed=True,
        ),
        _steady_row(name, own_steady, "Keras fit", their_steady, at_least=per_epoch),
        _peak_row(name, units, own_steady, matmul, rows=100 if quick else 60_000),
        *_framework_rows(name, own_steady, dict(zip(installed, others, strict=True))),
    ]


def _framework_rows(name: str, own: list[Result], others: dict[str, list[Result]]) -> list[Row]:
    rows = []
    for module, framework in FRAMEWORKS.items():
        if module not in others:
            rows += skipped(f"{name}: a steady epoch, against {framework}", f"{module} is not installed")
            continue
        first = statistics.median(result["epochs"][0] for result in others[module])
        rows.append(_steady_row(name, own, framework, others[module], note=f"its first: {first:.1f} s"))
    return rows


def _steady_row(
    name: str,
    own: list[Result],
    against: str,
    theirs: list[Result],
    at_least: float | None = None,
    note: str = "60,000 rows, training alone",
) -> Row:
    return Row(
        what=f"{name}: a steady epoch",
        values=[steady_seconds(result) for result in own],
        against=against,
        baseline=[steady_seconds(result) for result in theirs],
        is_speed=True,
        at_least=at_least,
        note=note,
    )


def _peak_row(name: str, units: tuple[int, ...], own: list[Result], matmul: list[Result], rows: int) -> Row:
    flops = training_flops(units, rows)
    return Row(
        what=f"{name}: arithmetic in a steady epoch",
        unit="GFLOP/s",
        values=[flops / steady_seconds(result) / 1e9 for result in own],
        against="a big float32 matmul",
        baseline=[result["flops_per_second"] / 1e9 for result in matmul],
    )


def steady_seconds(result: Result) -> float:
    """Returns the median time of an epoch after the first, from the times at which epochs ended."""
    ends: list[float] = result["epochs"]
    return statistics.median(end - before for before, end in itertools.pairwise(ends))
