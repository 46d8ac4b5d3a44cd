"""How long the commands make a person wait: `python -m tests.benchmarks.bench_submit`; `make bench-submit`."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.images import CHECKOUT, COMPONENTS, repository

RUNS = 5
COMMANDS = {  # what is typed, and the seconds it may take
    "--help": (["--help"], 0.5),
    "schedule --help": (["schedule", "--help"], 0.5),
    "submit --dry-run (kfp)": (["submit", "--env", "kfp-example", "--dry-run"], 5.0),
    "submit --dry-run (vertex)": (["submit", "--env", "vertex-example", "--dry-run"], 5.0),
}


def seconds(arguments: list[str], digests_path: Path) -> float:
    """Runs a command to its end and returns its wall time."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "MNIST_PIPELINE_DIGESTS": str(digests_path)}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], env=environment, check=True, capture_output=True
    )
    return time.perf_counter() - started


def main() -> int:
    """Prints a table; returns 1 if a median is over its limit."""
    is_slow = False
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "digests.json"
        pinned = {name: f"registry.example/{repository(name)}@sha256:{'a' * 64}" for name in COMPONENTS}
        path.write_text(json.dumps(pinned), encoding="utf-8")
        print(f"{'command':<28} {'median':>8} {'min':>8} {'max':>8} {'limit':>8}")
        for name, (arguments, limit) in COMMANDS.items():
            taken = [seconds(arguments, path) for _ in range(RUNS)]
            median = statistics.median(taken)
            is_slow |= median > limit
            print(f"{name:<28} {median:7.2f}s {min(taken):7.2f}s {max(taken):7.2f}s {limit:7.1f}s")
    return int(is_slow)


if __name__ == "__main__":
    sys.exit(main())
