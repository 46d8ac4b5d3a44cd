"""What it costs a training run to save checkpoints, and to be stopped and started again."""

import itertools
import signal
import tempfile
import time
from pathlib import Path

from tests.benchmarks.bench_training import steady_seconds
from tests.benchmarks.parameters import pipeline_parameters
from tests.benchmarks.rounds import Result, interleaved, job
from tests.benchmarks.rows import Row, skipped
from tests.sweeps.training_sweep import RETRYABLE, Training

STYLE = "sequential_add"
PREEMPTIONS = 10
EPOCHS = PREEMPTIONS + 1  # stopped in every epoch but the last


def run(rounds: int, quick: bool) -> list[Row]:
    """Measures runs with and without checkpoints, calm ones and ones that are stopped in every epoch."""
    if quick:
        return skipped("interruptions", "they need processes of their own")
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = f"{scratch}/data"
        job("ingest", quick, parameters=pipeline_parameters(), data_dir=data_dir)()
        numbers = itertools.count()

        def training(preemptions: int) -> Result:
            directory = Path(scratch) / str(next(numbers))
            directory.mkdir()
            parameters = {"epochs": EPOCHS, "batch_size": 64}
            return preempted(Training(data_dir, directory, STYLE, parameters), preemptions)

        parameters = pipeline_parameters(model_style=STYLE, checkpoint_uri=f"{scratch}/checkpoints")
        saving, calm, rough = interleaved(
            {
                "with checkpoints": job("saving", quick, parameters=parameters, dataset_dir=data_dir),
                "calm": lambda: training(0),
                f"stopped {PREEMPTIONS} times": lambda: training(PREEMPTIONS),
            },
            rounds,
        ).values()
    return [
        Row(
            what=f"{STYLE}: saving checkpoints",
            values=[result["saving"] for result in saving],
            against="10 epochs, with it",
            baseline=[result["epochs"][-1] for result in saving],
            at_most=0.03,
        ),
        Row(
            what=f"{STYLE}: {PREEMPTIONS} preemptions, beyond {PREEMPTIONS} process starts",
            unit="epochs",
            values=[lost_epochs(*pair) for pair in zip(calm, rough, strict=True)],
            at_most=1.0,
            note="SIGTERM after every epoch but the last; a start: a calm process less training and model",
        ),
        Row(what=f"{STYLE}: one process start", values=[start_seconds(result) for result in calm]),
        Row(
            what=f"{STYLE}: {EPOCHS} epochs, stopped {PREEMPTIONS} times",
            values=[result["whole"] for result in rough],
            against="never stopped",
            baseline=[result["whole"] for result in calm],
        ),
    ]


def preempted(training: Training, preemptions: int) -> Result:
    """Runs to the end, stopped after each of the first `preemptions` epochs; takes wall times.

    Returns:
      From the first process's start, "whole": until the last one's end; "epochs": until the ends of its
      epochs; "done": until it had trained and written its model.
    """
    started = time.perf_counter()
    for _ in range(preemptions):
        _stop_after_an_epoch(training)
    epochs, done = [], 0.0
    with training.start() as process:
        for line in process.stdout or ():
            if line.startswith("epoch "):
                epochs.append(time.perf_counter() - started)
            if line.startswith("done"):
                done = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode} of the last process")
    return {"whole": time.perf_counter() - started, "epochs": epochs, "done": done}


def _stop_after_an_epoch(training: Training) -> None:
    with training.start() as process:
        for line in process.stdout or ():
            if line.startswith("epoch "):
                process.send_signal(signal.SIGTERM)
                break
        output, _ = process.communicate()
    if process.returncode != RETRYABLE:
        raise RuntimeError(f"exit code {process.returncode} after SIGTERM: {output}")


def start_seconds(calm: Result) -> float:
    """What a process takes before it trains, for imports, data, model and compilation, and to end."""
    start: float = calm["epochs"][0] - steady_seconds(calm) + calm["whole"] - calm["done"]
    return start


def lost_epochs(calm: Result, rough: Result) -> float:
    """What the stopped run took beyond the calm one and its process starts, in steady epochs."""
    lost: float = rough["whole"] - calm["whole"] - PREEMPTIONS * start_seconds(calm)
    return lost / steady_seconds(calm)
