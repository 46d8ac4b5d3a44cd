"""What it costs a training run to save checkpoints, and to be stopped and started again."""

import itertools
import signal
import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks.parameters import pipeline_parameters
from tests.benchmarks.rounds import Result, interleaved, job
from tests.benchmarks.rows import Row, skipped
from tests.training_sweep import RETRYABLE, Training

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

        def ours(checkpoint_uri: str) -> Result:
            parameters = pipeline_parameters(model_style=STYLE, checkpoint_uri=checkpoint_uri)
            return job("ours", quick, parameters=parameters, dataset_dir=data_dir)()

        without, saving, calm, rough = interleaved(
            {
                "without checkpoints": lambda: ours(""),
                "with checkpoints": lambda: ours(f"{scratch}/checkpoints"),
                "calm": lambda: training(0),
                f"stopped {PREEMPTIONS} times": lambda: training(PREEMPTIONS),
            },
            rounds,
        ).values()
    return [
        Row(
            what=f"{STYLE}: 10 epochs that save checkpoints",
            values=[result["epochs"][-1] for result in saving],
            against="without",
            baseline=[result["epochs"][-1] for result in without],
            at_most=1.03,
        ),
        Row(
            what=f"{STYLE}: {PREEMPTIONS} preemptions, beyond {PREEMPTIONS} process starts",
            unit="epochs",
            values=[lost_epochs(*pair) for pair in zip(calm, rough, strict=True)],
            at_most=1.0,
            note="SIGTERM in every epoch; a start is a calm run without its steady epochs",
        ),
    ]


def preempted(training: Training, preemptions: int) -> Result:
    """Runs to the end, stopped after each of the first `preemptions` epochs; takes wall times."""
    started = time.perf_counter()
    epochs: list[float] = []
    for _ in range(preemptions):
        with training.start() as process:
            for line in process.stdout or ():
                if line.startswith("epoch "):
                    process.send_signal(signal.SIGTERM)
                    break
            output, _ = process.communicate()
        if process.returncode != RETRYABLE:
            raise RuntimeError(f"exit code {process.returncode} after SIGTERM: {output}")
    for line in training.finish().splitlines():
        if line.startswith("epoch "):
            epochs.append(float(line.split()[-2]))
    return {"whole": time.perf_counter() - started, "epochs": epochs}


def lost_epochs(calm: Result, rough: Result) -> float:
    """What the stopped run took beyond the calm one and its process starts, in steady epochs."""
    epoch = statistics.median(calm["epochs"][1:])
    start = calm["whole"] - EPOCHS * epoch
    lost: float = (rough["whole"] - calm["whole"] - PREEMPTIONS * start) / epoch
    return lost
