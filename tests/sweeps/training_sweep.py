"""`make test-kills`: interrupts training in every way there is and compares the weights with a calm run's.

python -m tests.sweeps.training_sweep --styles functional --rounds 3
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.ingest.core import ingest
from components.ingest.settings import Settings
from components.train.settings import NOTEBOOK_HIDDEN_UNITS

CHECKOUT = Path(__file__).parents[2]
RETRYABLE = 75
STOP_SECONDS = 5.0
# Long enough to save five times and more, at the share of the time that saving may take.
EPOCHS = {"functional": 40}
MORE_EPOCHS = 12  # of the styles with a bigger model


@dataclasses.dataclass
class Training:
    """One training run, in as many processes as it takes."""

    dataset_dir: str
    directory: Path
    model_style: str
    parameters: dict[str, Any]

    def start(self) -> subprocess.Popen[str]:
        """Starts the run or goes on with it, with an output folder of its own, as a retry has."""
        attempt = self.directory / f"attempt-{len(list(self.directory.glob('attempt-*')))}"
        attempt.mkdir()
        arguments: dict[str, Any] = {
            "dataset_dir": self.dataset_dir,
            "model_dir": str(attempt / "model"),
            "curves_path": str(attempt / "curves.html"),
            "events_dir": str(attempt / "events"),
            "model_style": self.model_style,
            "hidden_units": [],
            "epochs": 4,
            "batch_size": 16,
            "learning_rate": 0.001,
            "seed": 7,
            "precision": "float32",
            "resident_bytes": 2_000_000_000,
            "checkpoint_uri": str(self.directory / "checkpoints"),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "tests.sweeps.training_process", json.dumps(arguments | self.parameters)],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self) -> str:
        """Runs on to the end and returns what the process printed."""
        with self.start() as process:
            output, _ = process.communicate(timeout=240)
        if process.returncode:
            raise AssertionError(f"{self.model_style}: exit code {process.returncode}: {output}")
        return output

    def checkpoints(self) -> list[Path]:
        """The checkpoints that there are, the newest last."""
        return sorted(self.directory.glob("checkpoints/*/*.ckpt"))

    def model_files(self) -> dict[str, bytes]:
        """Every file of the model that the last process wrote."""
        model_dir = max(self.directory.glob("attempt-*/model"), key=lambda path: int(path.parent.name[8:]))
        paths = (path for path in model_dir.rglob("*") if path.is_file())
        return {str(path.relative_to(model_dir)): path.read_bytes() for path in paths}


def wait_for_checkpoints(training: Training, process: subprocess.Popen[str], count: int) -> None:
    """Waits until the process has saved `count` times; checkpoints of earlier processes don't count."""
    seen: set[str] = {path.name for path in training.checkpoints()}
    saved: set[str] = set()
    deadline = time.monotonic() + 120
    while len(saved) < count:
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"saved {len(saved)} of {count} times, exit code {process.poll()}")
        saved |= {path.name for path in training.checkpoints()} - seen
        time.sleep(0.005)


def interrupt(training: Training, signal_number: int, checkpoints: int, delay: float = 0.0) -> int:
    """Starts the run, sends a signal some time after so many checkpoints; returns the exit code."""
    with training.start() as process:
        wait_for_checkpoints(training, process, checkpoints)
        time.sleep(delay)
        process.send_signal(signal_number)
        sent = time.monotonic()
        process.communicate(timeout=60)
        seconds = time.monotonic() - sent
    if signal_number == signal.SIGTERM and process.returncode == RETRYABLE and seconds > STOP_SECONDS:
        raise AssertionError(f"took {seconds:.1f} s to stop, must be at most {STOP_SECONDS:g}")
    return process.returncode


def truncate(path: Path) -> None:
    """Cuts a checkpoint off in the middle."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bit(path: Path) -> None:
    """Changes one bit in the middle of a checkpoint."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def kill_at_random(training: Training, chance: random.Random) -> None:
    """SIGKILL at any moment, while it saves included."""
    interrupt(training, signal.SIGKILL, chance.randint(1, 3), chance.random() * 0.3)


def terminate(training: Training, chance: random.Random) -> None:
    """SIGTERM: saves, says that a rerun goes on, exit code 75."""
    code = interrupt(training, signal.SIGTERM, chance.randint(1, 3))
    if code not in (RETRYABLE, 0):  # 0: it was done before the signal came
        raise AssertionError(f"exit code {code} after SIGTERM, must be {RETRYABLE}")


def damaged(damage: Callable[[Path], None]) -> Callable[[Training, random.Random], None]:
    """Kills the run and damages its newest checkpoint."""

    def way(training: Training, chance: random.Random) -> None:
        interrupt(training, signal.SIGKILL, chance.randint(2, 3))
        damage(training.checkpoints()[-1])

    return way


WAYS: dict[str, Callable[[Training, random.Random], None]] = {
    "killed": kill_at_random,
    "terminated": terminate,
    "newest checkpoint truncated": damaged(truncate),
    "newest checkpoint with a flipped bit": damaged(flip_bit),
}


def main() -> None:
    """Prints how many interrupted runs ended with the bytes of a calm one, of how many."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--styles", nargs="+", default=list(NOTEBOOK_HIDDEN_UNITS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    same = runs = 0
    with tempfile.TemporaryDirectory(prefix="training-sweep-") as scratch:
        home = Path(scratch)
        dataset_dir = str(home / "data")
        ingest(Settings(validation_rows=40_000), dataset_dir)
        for style in options.styles:
            parameters = {"epochs": EPOCHS.get(style, MORE_EPOCHS)}
            calm = Training(dataset_dir, home / f"{style}-calm", style, parameters)
            calm.directory.mkdir()
            calm.finish()
            for name, way in WAYS.items():
                for round_number in range(options.rounds):
                    training = Training(
                        dataset_dir, home / f"{style}-{name}-{round_number}", style, parameters
                    )
                    training.directory.mkdir()
                    way(training, chance)
                    output = training.finish()
                    runs += 1
                    same += training.model_files() == calm.model_files()
                    resumed = "resumed" if "resumed in epoch" in output else "started anew"
                    print(
                        f"{style}, {name}: {resumed}; {same} of {runs} runs the same as a calm one",
                        flush=True,
                    )
    if same != runs:
        sys.exit(1)


if __name__ == "__main__":
    main()
