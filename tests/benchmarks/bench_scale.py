"""Time and memory by the number of rows: ingest and a training epoch, from 60,000 to 600,000."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from components.model.contract import PIXELS
from tests.benchmarks.bench_training import steady_seconds
from tests.benchmarks.parameters import pipeline_parameters
from tests.benchmarks.rounds import Result, interleaved, job
from tests.benchmarks.rows import Row

FACTORS = (1, 3, 10)
ROW_BYTES = PIXELS * 4
STYLE = "sequential_add"


def run(rounds: int, quick: bool) -> list[Row]:
    """Measures every size in turn; `quick` has 100 and 200 rows of noise."""
    factors, trained = ((1, 2), 100) if quick else (FACTORS, 60_000)
    with tempfile.TemporaryDirectory() as scratch:

        def measure(factor: int) -> Result:
            data_dir = Path(scratch) / str(factor)
            parameters: dict[str, Any] = pipeline_parameters(
                augment_factor=factor, holdout=False, model_style=STYLE, epochs=2
            )
            if quick:
                ingested = job("synthetic", quick, data_dir=str(data_dir), rows=factor * trained)()
            else:
                ingested = job("ingest", quick, parameters=parameters, data_dir=str(data_dir))()
            result = job("ours", quick, parameters=parameters, dataset_dir=str(data_dir))()
            shutil.rmtree(data_dir)
            return {"ingest": ingested, "train": result}

        contestants = {
            f"{factor * trained:,} rows": lambda factor=factor: measure(factor) for factor in factors
        }
        results = dict(zip(factors, interleaved(contestants, rounds).values(), strict=True))
    rows = []
    base, *larger = factors
    for factor in larger:
        rows += _cost_rows(factor, base, results, trained)
    return rows + _memory_rows(larger[-1], base, results, trained)


def _cost_rows(factor: int, base: int, results: dict[int, list[Result]], trained: int) -> list[Row]:
    def ingest(which: int) -> list[float]:
        return [1e6 * result["ingest"]["seconds"] / (which * trained) for result in results[which]]

    def epoch(which: int) -> list[float]:
        return [1e6 * steady_seconds(result["train"]) / (which * trained) for result in results[which]]

    return [
        Row(
            what=f"{task}, {factor * trained:,} rows",
            unit="μs a row",
            values=cost(factor),
            against=f"{base * trained:,} rows",
            baseline=cost(base),
            at_most=1.2,
        )
        for task, cost in (("ingest", ingest), (f"an epoch of {STYLE}", epoch))
    ]


def _memory_rows(most: int, base: int, results: dict[int, list[Result]], trained: int) -> list[Row]:
    def peaks(which: int, task: str) -> list[float]:
        return [result[task]["peak_bytes"] / 1e9 for result in results[which]]

    growth = [high - low for high, low in zip(peaks(most, "train"), peaks(base, "train"), strict=True)]
    more_rows = (most - base) * trained
    return [
        Row(
            what=f"ingest: peak memory, {most * trained:,} rows",
            unit="GB",
            values=peaks(most, "ingest"),
            against=f"{base * trained:,} rows",
            baseline=peaks(base, "ingest"),
            at_most=1.1,
        ),
        Row(
            what=f"train: peak memory, {base * trained:,} rows",
            unit="GB",
            values=peaks(base, "train"),
            at_most=1.4,
        ),
        Row(
            what=f"train: growth of that by {more_rows:,} more rows",
            unit="GB",
            values=growth,
            against="the bytes of these rows",
            baseline=[more_rows * ROW_BYTES / 1e9] * len(growth),
            at_most=1.3,
        ),
    ]
