"""Contestants that take turns, each in a process of its own, so that a noisy minute hits all of them."""

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.images.references import CHECKOUT
from tests.benchmarks import jobs

Result = dict[str, Any]


def interleaved(contestants: Mapping[str, Callable[[], Result]], rounds: int) -> dict[str, list[Result]]:
    """Runs every contestant once per round, each round beginning with another one; tells stderr."""
    names = list(contestants)
    results: dict[str, list[Result]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            started = time.perf_counter()
            results[name].append(contestants[name]())
            took = time.perf_counter() - started
            print(f"round {number + 1}/{rounds}  {took:6.1f} s  {name}", file=sys.stderr, flush=True)
    return results


def job(name: str, here: bool, **arguments: Any) -> Callable[[], Result]:
    """Returns what runs one of `jobs.JOBS`, in a fresh interpreter.

    With `here` it runs in this one, and once for the same arguments: a trial in which no time counts.
    """
    text = json.dumps(arguments)
    if here:
        return lambda: _trial(name, text)
    command = [sys.executable, "-m", "tests.benchmarks.jobs", name, text]
    return lambda: json.loads(finished(command).splitlines()[-1])


@functools.cache
def _trial(name: str, arguments: str) -> Result:
    return jobs.JOBS[name](**json.loads(arguments))


def timed(command: list[str], cwd: Path) -> Callable[[], Result]:
    """Returns what runs a command and takes its wall time, from start to exit."""

    def run() -> Result:
        started = time.perf_counter()
        finished(command, cwd)
        return {"seconds": time.perf_counter() - started}

    return run


def finished(command: list[str], cwd: Path = CHECKOUT) -> str:
    """Runs a command with this checkout on its path; returns what it printed.

    Raises:
      RuntimeError: it failed; all that it said is in the message.
    """
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)[:200]} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout
