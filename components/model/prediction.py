"""Runs a model in a process of its own, which cannot write files, open connections or see credentials.

    probabilities = predict("output/model", images)   # uint8 [N, 28, 28] to float32 [N, 10]

A SavedModel is code. What it is asked here, it answers through a pipe; whoever asks loads neither it nor
TensorFlow.
"""

import io
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import ERRORS, DataError, PipelineError
from components.model.contract import CLASSES

SECONDS = 600.0  # for 10,000 rows that take one; a model that takes longer hangs
_PROCESS = "components.model.prediction_process"
# What the process needs of this one's environment: to find its libraries, and to count with the same threads.
_INHERITED = (
    "PATH",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
_SHOWN = 300  # characters of a reason


def predict(model_dir: str, images: NDArray[np.uint8], *, seconds: float = SECONDS) -> NDArray[np.float32]:
    """Returns the probabilities [N, 10] that a SavedModel's serving signature gives raw images [N, 28, 28].

    They are computed on the CPU, on whatever node this runs: a model's scores do not depend on that.

    Raises:
      DataError: a graph that no digit classifier has, not such a SavedModel, one that fails, crashes or does
        not end, or a probability that is not finite.
      PipelineError: its process failed in a way that is not the model's doing.
    """
    command = [sys.executable, "-m", _PROCESS, str(Path(model_dir).absolute())]
    with tempfile.TemporaryDirectory(prefix="prediction-") as scratch:
        try:
            done = subprocess.run(
                command,
                input=packed(images),
                capture_output=True,
                cwd=scratch,
                env=_environment(scratch),
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"model {model_dir}: no predictions after {seconds:g} s") from None
    if done.returncode:
        raise _failure(model_dir, done)
    return _checked(model_dir, done.stdout, len(images))


def packed(array: NDArray[Any]) -> bytes:
    """Returns an array as the processes pass it to each other: an .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def unpacked(data: bytes) -> NDArray[Any]:
    """Returns what `packed` packed; ValueError if it is anything else."""
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array


def _environment(scratch: str) -> dict[str, str]:
    """Returns the variables of the process: no credentials, no proxies, no home to look for them in."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {
        "CUDA_VISIBLE_DEVICES": "-1",
        "HOME": scratch,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path),
        "PYTHONUTF8": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TMPDIR": scratch,
    }


def _failure(model_dir: str, done: subprocess.CompletedProcess[bytes]) -> PipelineError:
    """Returns the error that the process ended with."""
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return DataError(f"model {model_dir}: crashed TensorFlow, or took too much memory ({name})")
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    last = lines[-1][:_SHOWN] if lines else f"exit code {done.returncode}"
    kind, _, message = last.partition(": ")
    if kind in ERRORS:
        return ERRORS[kind](message)
    return PipelineError(f"model {model_dir}: the process that runs it failed: {last}")


def _checked(model_dir: str, answer: bytes, rows: int) -> NDArray[np.float32]:
    try:
        probabilities = unpacked(answer)
    except ValueError:
        raise DataError(f"model {model_dir}: its process gave no probabilities") from None
    if probabilities.dtype != np.float32 or probabilities.shape != (rows, CLASSES):
        found = f"{probabilities.dtype} {list(probabilities.shape)}"
        raise DataError(f"model {model_dir}: gives {found}, must be float32 [{rows}, {CLASSES}]")
    if not np.isfinite(probabilities).all():
        raise DataError(f"model {model_dir}: gives probabilities that are not finite")
    return probabilities
